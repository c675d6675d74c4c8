import { setNonce } from "get-nonce";

/**
 * The nonce that the Content-Security-Policy of this document allows for style elements; empty without a policy.
 *
 * The gateway makes a new one for each response and writes it into the document.
 */
export function styleNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";
}

/** Gives the nonce to react-remove-scroll, which locks the page below a dialog by a style element. */
export function allowStyleElements(): void {
  const nonce = styleNonce();
  if (nonce) setNonce(nonce);
}
