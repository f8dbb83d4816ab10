/** `POST /synaptic/measure`: times backends now, and says of each what came of it. */
import { Hono } from "hono";
import { z } from "zod";
import { SynapticError } from "../core/errors.ts";
import { readBody } from "./guard.ts";
import { refuseOtherMethods } from "./methods.ts";
import type { RuntimeView } from "./runtime-view.ts";

const MOST_ENDPOINTS = 1_000;

const wishSchema = z.object(
  {
    endpoints: z
      .array(z.string({ error: "a list of endpoints" }).min(1).max(300), { error: "a list of endpoints" })
      .max(MOST_ENDPOINTS)
      .optional(),
    head: z.boolean({ error: "true or false" }).optional(),
  },
  { error: "an object with endpoints and head" },
);

/** To be mounted below `/synaptic`. */
export function measureRoutes(view: Pick<RuntimeView, "measure">): Hono {
  const app = new Hono();
  app.post("/measure", async (context) => {
    const { endpoints, head } = await readWish(context.req.raw);
    const wish = { ...(endpoints && { endpoints }), ...(head !== undefined && { head }) };
    return context.json({ measured: await view.measure(wish, context.req.raw.signal) });
  });
  refuseOtherMethods(app);
  return app;
}

/** No body asks for all backends. */
async function readWish(request: Request): Promise<z.infer<typeof wishSchema>> {
  const text = new TextDecoder().decode(await readBody(request));
  const wish = wishSchema.safeParse(text.trim() === "" ? {} : parse(text));
  if (wish.success) return wish.data;
  const [issue] = wish.error.issues;
  const param = issue?.path.join(".") || undefined;
  throw new SynapticError("bad_request", `Cannot measure: ${param ?? "the body"} is not as expected`, {
    hint: `expected ${issue?.message ?? "an object"}`,
    ...(param !== undefined && { param }),
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SynapticError("bad_request", "We could not parse the JSON body of your request", { cause: error });
  }
}
