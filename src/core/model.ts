/** GgufHeader to ModelFacts: what placement needs to know of a model. Pure. */

/** One repeating layer (`blk.N`). */
export interface LayerFacts {
  readonly weightBytes: number;
  /** KV cache elements per token of context: key and value counted apart, since their types may differ. */
  readonly keyElements: number;
  readonly valueElements: number;
}

export interface ModelFacts {
  readonly architecture: string;
  readonly name: string | null;
  /** The file's dominant weight type, such as `Q4_K_M` or `F16`. */
  readonly quantization: string;
  readonly parameters: number;
  readonly fileBytes: number;
  /** Tokens the model was trained for. */
  readonly trainedContext: number;
  readonly embeddingLength: number;
  readonly headCount: number;
  /** Largest head size over key and value. */
  readonly headSize: number;
  readonly feedForwardLength: number;
  readonly vocabularySize: number;
  readonly layers: readonly LayerFacts[];
  /** Token embeddings and what else stays on the head node. */
  readonly inputBytes: number;
  /** The output head (norm included). When it is tied to the embeddings, their bytes counted once more. */
  readonly outputBytes: number;
  readonly tiedOutput: boolean;
  /** Small tensors that every device gets its own copy of (`rope_freqs.weight`). */
  readonly perDeviceBytes: number;
  /** Null when KV bytes follow exactly from the layers; else why they are only an upper bound (sliding window, MLA, recurrent). */
  readonly kvInexact: string | null;
  readonly chatTemplate: boolean;
}
