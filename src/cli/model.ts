/** The model that a command names: an id of the configuration, or the path of a GGUF file. */
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import { toModelId } from "../core/model-id.ts";
import type { Client } from "./client.ts";
import type { Host } from "./host.ts";

const IS_PATH = /^(?:\/|\.{1,2}\/|~\/)|\.gguf$/i;

function isPath(config: Config, name: string): boolean {
  return IS_PATH.test(name) && !Object.hasOwn(config.models.files, name);
}

/** On the command line a path is the user's own word, so the file need not be in the configuration: it is added there
 *  under its name, before any other model of that name. */
export function resolveModel(
  host: Pick<Host, "absolute">,
  config: Config,
  name: string,
): { readonly config: Config; readonly model: string } {
  if (!isPath(config, name)) return { config, model: name };
  const path = host.absolute(name);
  const model = toModelId(path.replace(/^.*\//, ""));
  const models = { ...config.models, files: { ...config.models.files, [model]: path } };
  return { config: withValue(config, "models", models), model };
}

/** A running synaptic knows models by id only: a path is looked up in the configuration that both read.
 *  @throws SynapticError `model_not_found` */
export function idForServer(host: Pick<Host, "absolute">, config: Config, name: string, { url }: Client): string {
  if (!isPath(config, name)) return name;
  const path = host.absolute(name);
  const [id] = Object.entries(config.models.files).find(([, file]) => file === path) ?? [];
  if (id !== undefined) return id;
  throw new SynapticError("model_not_found", `Cannot use ${name}: a synaptic runs at ${url} and does not know it`, {
    hint: "add the file under synaptic.models.files and start it again, or stop it first",
  });
}

/** For a listener that only this process asks: the user's keys are not needed there, a random one is. */
export function withOwnKey(config: Config, apiKey: string): Config {
  const properties = { ...Object.getOwnPropertyDescriptors(config), keys: { value: [], enumerable: true } };
  return Object.freeze(Object.create(Object.prototype, { ...properties, apiKey: { value: apiKey } }));
}

/** By property descriptors: a spread would lose the API key, which is not enumerable, so that no log shows it. */
function withValue<Key extends keyof Config>(config: Config, key: Key, value: Config[Key]): Config {
  const properties = { ...Object.getOwnPropertyDescriptors(config), [key]: { value, enumerable: true } };
  return Object.freeze(Object.create(Object.prototype, properties));
}
