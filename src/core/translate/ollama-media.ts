/** Ollama's bare base64 media as parts of an OpenAI message, their kind told from their first bytes. Pure. */
import type { JsonObject } from "./json.ts";
import { badRequest, type Checked, unsupported } from "./refusal.ts";

/** Go's decoder passes line breaks over. */
const BASE64 = /^[A-Za-z0-9+/\r\n]+={0,2}[\r\n]*$/;
/** What is told from it fits in 12 bytes. */
const HEAD_CHARACTERS = 16;

/** The part for one of `images`; audio stands there too (Ollama tells it from its first bytes as well). */
export function mediaPart(data: string, param: string): Checked<JsonObject> {
  if (/^data:image\/[\w.+-]+;base64,/.test(data.slice(0, 64))) return { ok: true, value: imagePart(data) };
  if (/^(?:https?|file):/i.test(data.slice(0, 8))) {
    const hint = "send it in base64";
    return unsupported("Cannot use an image by its address: only base64 is taken", { param, hint });
  }
  if (!BASE64.test(data)) {
    return badRequest(`Invalid value for '${param}': expected base64`, { param, detail: "invalid_value" });
  }
  const plain = data.replaceAll(/[\r\n]/g, "");
  const kind = kindOf(plain);
  if (kind === "wav" || kind === "mp3") {
    return { ok: true, value: { type: "input_audio", input_audio: { data: plain, format: kind } } };
  }
  return { ok: true, value: imagePart(`data:image/${kind};base64,${plain}`) };
}

function imagePart(url: string): JsonObject {
  return { type: "image_url", image_url: { url } };
}

/** JPEG when in doubt, as Ollama does it. */
function kindOf(base64: string): string {
  const head = headOf(base64);
  if (head.startsWith("\x89PNG")) return "png";
  if (head.startsWith("GIF8")) return "gif";
  if (head.startsWith("BM")) return "bmp";
  if (head.startsWith("RIFF")) return head.startsWith("WAVE", 8) ? "wav" : "webp";
  if (head.startsWith("ID3") || /^\xff[\xe2\xe3\xf2\xf3\xfa\xfb]/.test(head)) return "mp3";
  return "jpeg";
}

function headOf(base64: string): string {
  try {
    return atob(base64.slice(0, HEAD_CHARACTERS));
  } catch {
    // Shorter than it should be: whoever decodes it says so.
    return "";
  }
}
