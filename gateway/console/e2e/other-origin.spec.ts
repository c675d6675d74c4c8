import { expect, freshName, test } from "./fixtures";

const other = process.env.OTHER_ORIGIN;
const forbidden = process.env.FORBIDDEN_ORIGIN;

async function register(page: import("@playwright/test").Page, origin: string): Promise<void> {
  await page.goto(`${origin}/register`);
  await page.getByLabel("User name").fill(freshName("elsewhere"));
  await page.getByLabel("Password", { exact: true }).fill("a long enough password");
  await page.getByRole("button", { name: "Create account" }).click();
}

test("a console that is built for another origin works from there", async ({ page }) => {
  test.skip(!other, "OTHER_ORIGIN is not set");
  const calls: string[] = [];
  page.on("response", (response) => {
    if (response.request().method() === "POST") calls.push(new URL(response.url()).origin);
  });
  await register(page, other!);
  // To register and to log in hash a password each, which takes long on a busy machine.
  await expect(page).toHaveURL(new RegExp(`^${other}/marketplace`), { timeout: 45_000 });
  expect(new Set(calls)).toEqual(new Set([process.env.BASE_URL]));
});

test("an origin that CORS_ORIGINS does not name is refused, and the page says that it cannot reach the platform", async ({ page, expected }) => {
  test.skip(!forbidden, "FORBIDDEN_ORIGIN is not set");
  expected.messages.push(/CORS policy/, /net::ERR_FAILED/);
  expected.requests.push(/^net::ERR_FAILED \/agentmesh\./);
  await register(page, forbidden!);
  await expect(page.getByRole("alert")).toBeVisible();
  await expect(page).toHaveURL(new RegExp(`^${forbidden}/register`));
});
