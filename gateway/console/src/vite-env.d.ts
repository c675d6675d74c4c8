/// <reference types="vite/client" />

interface ImportMetaEnv {
  /** Where the platform answers, if not at the origin that serves the console, e.g. `https://mesh.example.org`. */
  readonly VITE_API_URL?: string;
}
