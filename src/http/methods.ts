/** A known path asked with a method that it does not have: 405, with those that it has. */
import type { Env, Hono } from "hono";
import { SynapticError } from "../core/errors.ts";

/** To be called after the last route of an app. */
export function refuseOtherMethods<E extends Env>(app: Hono<E>): void {
  const known = Map.groupBy(
    app.routes.filter(({ method }) => method !== "ALL"),
    ({ path }) => path,
  );
  for (const [path, routes] of known) {
    const allowed = [...new Set(routes.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method])))];
    app.all(path, (context) => {
      context.header("allow", allowed.join(", "));
      throw new SynapticError("method_not_allowed", `Cannot ${context.req.method} ${context.req.path}`, {
        hint: `it takes ${allowed.join(" and ")}`,
      });
    });
  }
}
