/** Many rpc-servers in one process that do nothing but answer probes: prints their ports, runs until it is ended. */
import { FakeRpcServer } from "../test/fakes/rpc-server.ts";
import { freePort } from "./local-backends.ts";

const count = Number(process.argv[2]);
const ports: number[] = [];
while (ports.length < count) {
  const port = freePort();
  new FakeRpcServer({ tag: "normal" }, port);
  ports.push(port);
}
console.log(ports.join(","));
