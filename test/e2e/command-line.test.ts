/** The command line as its users meet it: words, exit codes, the configuration; stdout for answers, stderr for talk. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { BINARY, type Lab, openLab } from "./lab.ts";

setDefaultTimeout(60_000);

let lab: Lab;

beforeAll(async () => {
  lab = await openLab();
});

afterAll(async () => await lab[Symbol.asyncDispose]());

describe("words", () => {
  test("--version prints one line on stdout and exits with 0", async () => {
    const { code, stdout, stderr } = await lab.run(["--version"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  });

  test.each([["--help"], ["-h"], ["help"]])("%s prints all commands on stdout and exits with 0", async (word) => {
    const { code, stdout, stderr } = await lab.run([word]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const command of ["serve", "check", "backends", "status", "models", "plan <model>", "prove", "config"]) {
      expect(stdout).toContain(`\n  ${command} `);
    }
  });

  test("the help of a command shows its own options and those of all", async () => {
    const { code, stdout } = await lab.run(["prove", "--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/--max-tokens[\s\S]*--config/);
    expect(stdout).not.toContain("Examples:");
  });

  const sinks = ["| true", ...(existsSync("/dev/full") ? ["> /dev/full"] : [])];
  test.each(sinks)("an answer that cannot be written (%s) ends without a stack trace", async (sink) => {
    const program = lab.start(["/bin/sh", "-c", `"$0" config schema ${sink}`, BINARY]);
    await program.exited;
    expect(program.stderr()).toMatch(sink === "| true" ? /^$/ : /^Cannot write the answer: .*\n$/);
  });

  const mistakes = [
    { args: ["plna", "m"], says: "Unknown command: plna\n  did you mean `synaptic plan`?\n" },
    { args: ["stat"], says: "Unknown command: stat\n  did you mean `synaptic status`?\n" },
    { args: ["fly"], says: "Unknown command: fly\n  `synaptic --help` shows all commands\n" },
    { args: ["--prot", "1"], says: "unknown option '--prot'\n(Did you mean --port?)" },
    { args: ["plan"], says: "missing required argument 'model'" },
    { args: ["plan", "m", "n"], says: "too many arguments for 'plan'" },
    { args: ["config", "shema"], says: "(Did you mean schema?)" },
    { args: ["--port", "99999"], says: "Cannot use --port: expected a port from 1 to 65535" },
    { args: ["prove", "m", "--max-tokens", "none"], says: "Cannot use --max-tokens none" },
  ];
  test.each(mistakes)("$args is a mistake: exit code 2, and a word on stderr that helps", async ({ args, says }) => {
    const { code, stdout, stderr } = await lab.run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(says);
  });
});

describe("the configuration", () => {
  test("--config alone means ~/.synapticllamas.json", async () => {
    const path = lab.write("home/.synapticllamas.json", { rpc_backends: [{ host: "10.1.2.3" }] });
    const { code, stdout } = await lab.run(["check", "--config"]);
    expect(code).toBe(0);
    expect(stdout).toStartWith(`Configuration: ${path}\n`);
    expect(stdout).toContain("10.1.2.3:50052");
  });

  test("--config alone fails when the default file is missing, and check without it names the defaults", async () => {
    const env = { HOME: lab.folder };
    const asked = await lab.run(["check", "--config"], { env });
    expect(asked.code).toBe(2);
    expect(asked.stderr).toStartWith(`Cannot read ${join(lab.folder, ".synapticllamas.json")}: it does not exist\n`);
    const unasked = await lab.run(["check"], { env });
    expect(unasked.code).toBe(0);
    expect(unasked.stdout).toStartWith("Configuration: none, defaults apply\n");
  });

  const files = [
    { name: "missing", says: "it does not exist" },
    { name: "empty", content: "", says: "the file is empty" },
    { name: "folder", says: "it is a directory" },
    { name: "comment", content: '{\n  "model": "m", // ours\n}', says: "line 2, column 17: " },
    { name: "port-0", content: '{"rpc_backends": [{"host": "a", "port": 0}]}', says: "rpc_backends[0].port" },
    { name: "null", content: '{"rpc_backends": null}', says: "rpc_backends" },
  ];
  test.each(files)("a config file that is $name stops the start with exit code 2 and its place", async (file) => {
    const path = join(lab.folder, file.name);
    if (file.content !== undefined) lab.write(file.name, file.content);
    if (file.name === "folder") mkdirSync(path);
    const { code, stdout, stderr } = await lab.run([], { config: path });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(path);
    expect(stderr).toContain(file.says);
  });

  test("config schema prints one JSON document", async () => {
    const { code, stdout, stderr } = await lab.run(["config", "schema"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ title: "synaptic configuration", type: "object" });
  });

  test("check --json prints one JSON value and shows no key", async () => {
    const config = lab.config(["10.1.2.3:50052"]);
    const { code, stdout, stderr } = await lab.run(["check", "--json"], {
      config,
      env: { SYNAPTIC_API_KEY: "topsecret" },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ file: config, placement: "spread", apiKey: "set, not shown" });
    expect(stdout).not.toContain("topsecret");
  });
});
