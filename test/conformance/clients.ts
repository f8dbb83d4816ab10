/** Each SDK pointed at a synaptic, counting its requests. */
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { ChatOllama } from "@langchain/ollama";
import { ChatOpenAI } from "@langchain/openai";
import { Ollama } from "ollama";
import OpenAI from "openai";

export interface Counted<T> {
  readonly client: T;
  /** Times of its requests in ms. */
  readonly requests: readonly number[];
}

export interface ClientOptions {
  readonly url: string;
  readonly apiKey?: string;
  /** The SDK's own when left out. */
  readonly maxRetries?: number;
}

/** What an SDK takes for `fetch`. */
type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

function counting(): { readonly requests: number[]; readonly fetch: Fetch } {
  const requests: number[] = [];
  return {
    requests,
    fetch(input, init) {
      requests.push(performance.now());
      return fetch(input, init);
    },
  };
}

export function openAi({ url, apiKey = "none", maxRetries }: ClientOptions): Counted<OpenAI> {
  const { requests, fetch } = counting();
  const client = new OpenAI({
    baseURL: `${url}/v1`,
    apiKey,
    fetch,
    ...(maxRetries !== undefined && { maxRetries }),
  });
  return { client, requests };
}

export function anthropic({ url, apiKey = "none", maxRetries }: ClientOptions): Counted<Anthropic> {
  const { requests, fetch } = counting();
  const client = new Anthropic({ baseURL: url, apiKey, fetch, ...(maxRetries !== undefined && { maxRetries }) });
  return { client, requests };
}

export function ollama({ url }: ClientOptions): Ollama {
  return new Ollama({ host: url });
}

/** `/chat/completions`, through @ai-sdk/openai-compatible. */
export function compatible({ url }: ClientOptions, model: string) {
  return createOpenAICompatible({
    name: "synaptic",
    baseURL: `${url}/v1`,
    apiKey: "none",
    includeUsage: true,
    supportsStructuredOutputs: true,
  })(model);
}

/** `/responses`, through @ai-sdk/openai. */
export function aiOpenAi({ url }: ClientOptions, model: string) {
  return createOpenAI({ baseURL: `${url}/v1`, apiKey: "none" })(model);
}

/** `more` are fields of the body that the SDK has no option for. */
export function chatOpenAi(
  { url, maxRetries, more = {} }: ClientOptions & { readonly more?: Record<string, unknown> },
  model: string,
): ChatOpenAI {
  return new ChatOpenAI({
    model,
    modelKwargs: more,
    apiKey: "none",
    configuration: { baseURL: `${url}/v1` },
    ...(maxRetries !== undefined && { maxRetries }),
  });
}

export function chatOllama({ url }: ClientOptions, model: string): ChatOllama {
  return new ChatOllama({ model, baseUrl: url, maxRetries: 0 });
}
