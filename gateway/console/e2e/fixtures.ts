import { AxeBuilder } from "@axe-core/playwright";
import { test as base, expect, type BrowserContext, type Page, type Response } from "@playwright/test";

/** A message or request that a test expects to fail; every other one fails the test. */
export interface Expected {
  /** Texts of console errors. */
  messages: RegExp[];
  /** Requests, each as `<status or gRPC status> <path>`, such as `grpc 16 /agentmesh.identity.v1.AuthService/Login`. */
  requests: RegExp[];
}

export interface Fixtures {
  expected: Expected;
  /** Fails if axe finds anything serious or critical on the page. */
  accessible: (page: Page) => Promise<void>;
  /** Keeps screenshots of the page: light, dark, and at the width of a phone. */
  pictures: (page: Page, name: string) => Promise<void>;
  /** Watches another context for errors, as the test's own is watched. */
  watch: (context: BrowserContext) => void;
}

export const test = base.extend<Fixtures>({
  expected: async ({}, use) => use({ messages: [], requests: [] }),

  watch: [
    async ({ context, expected }, use, info) => {
      const problems: string[] = [];
      const watch = (watched: BrowserContext) => collectProblems(watched, expected, problems);
      watch(context);
      await use(watch);
      if (info.status === info.expectedStatus) expect(problems, "console errors and failed requests").toEqual([]);
    },
    { auto: true },
  ],

  accessible: async ({}, use) =>
    use(async (page) => {
      const { violations } = await new AxeBuilder({ page }).analyze();
      const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      expect(grave.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`)).toEqual([]);
    }),

  pictures: async ({}, use) =>
    use(async (page, name) => {
      const before = page.viewportSize();
      for (const [kind, colorScheme, width] of [
        ["light", "light", 1280],
        ["dark", "dark", 1280],
        ["phone", "light", 390],
      ] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await page.setViewportSize({ width, height: 800 });
        await page.screenshot({ path: `screenshots/${name}-${kind}.png`, fullPage: true, animations: "disabled" });
      }
      await page.emulateMedia({ colorScheme: null, reducedMotion: null });
      if (before) await page.setViewportSize(before);
    }),
});

export { expect };

/** A user name that no other test has. */
export const freshName = (prefix: string): string => `${prefix}_${Date.now().toString(36)}_${Math.random().toString(36).slice(2, 8)}`;

function collectProblems(context: BrowserContext, expected: Expected, problems: string[]): void {
  const add = (allowed: RegExp[], problem: string) => {
    if (!allowed.some((pattern) => pattern.test(problem))) problems.push(problem);
  };
  context.on("weberror", (error) => add(expected.messages, `error: ${error.error().message}`));
  context.on("console", (message) => {
    if (message.type() === "error") add(expected.messages, `console: ${message.text()}`);
  });
  context.on("requestfailed", (request) => {
    const failure = request.failure()?.errorText ?? "failed";
    // A page that is left or a stream that is stopped aborts its requests.
    if (failure !== "net::ERR_ABORTED") add(expected.requests, `${failure} ${pathOf(request.url())}`);
  });
  context.on("response", (response) => {
    const failed = failureOf(response);
    if (failed) add(expected.requests, `${failed} ${pathOf(response.url())}`);
  });
}

/** The status of a failed answer; null if it succeeded. (A stream that fails later says so in its last message, which the page must show.) */
function failureOf(response: Response): string | null {
  if (response.status() >= 400) return String(response.status());
  const grpcStatus = response.headers()["grpc-status"];
  return grpcStatus && grpcStatus !== "0" ? `grpc ${grpcStatus}` : null;
}

const pathOf = (url: string): string => new URL(url).pathname;
