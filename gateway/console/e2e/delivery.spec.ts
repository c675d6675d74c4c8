import { expect, test } from "./fixtures";

test("the console runs under its policy, without an error or an asset of another host", async ({ page, accessible, pictures }) => {
  const hosts = new Set<string>();
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  const response = await page.goto("/login");
  const policy = response?.headers()["content-security-policy"] ?? "";
  expect(policy).toContain("script-src 'self';");
  expect(policy).not.toContain("unsafe");
  await expect(page.getByRole("button", { name: /log in/i })).toBeVisible();
  expect([...hosts]).toEqual([new URL(page.url()).host]);
  await accessible(page);
  await pictures(page, "login");
});

test("the policy forbids inline scripts, eval and other hosts", async ({ page, expected }) => {
  expected.messages.push(/Content Security Policy/);
  await page.goto("/login");
  const outcome = await page.evaluate(async () => {
    const violations = new Set<string>();
    document.addEventListener("securitypolicyviolation", (event) => violations.add(event.effectiveDirective));
    const script = document.createElement("script");
    script.textContent = "window.injected = true";
    const style = document.createElement("style");
    style.textContent = "body { outline: 7px solid red }";
    document.body.append(script, style);
    await fetch("http://127.0.0.1:9/").catch(() => undefined);
    const evaluated = () => {
      try {
        return Boolean(new Function("return true")());
      } catch {
        return false;
      }
    };
    // Only in a task of its own: while Playwright evaluates this function, eval is allowed.
    const result = await new Promise<boolean>((resolve) => setTimeout(() => resolve(evaluated())));
    return {
      injected: "injected" in window,
      styled: getComputedStyle(document.body).outlineWidth === "7px",
      evaluated: result,
      violations: [...violations].sort(),
    };
  });
  expect(outcome).toEqual({
    injected: false,
    styled: false,
    evaluated: false,
    violations: expect.arrayContaining(["connect-src", "script-src-elem", "style-src-elem"]),
  });
});

test("the style elements of the components are applied", async ({ page }) => {
  await page.goto("/login");
  await expect(page.getByRole("button", { name: /log in/i })).toBeVisible();
  const applied = await page.evaluate(() => [...document.querySelectorAll("style")].map((style) => style.sheet?.cssRules.length ?? 0));
  expect(applied.length).toBeGreaterThan(0);
  expect(Math.min(...applied)).toBeGreaterThan(0); // a style element that the policy refuses has no rules
});

test("an address that does not exist shows a page that says so", async ({ page, accessible }) => {
  await page.goto("/no/such/page");
  await expect(page.getByText(/not found|does not exist/i).first()).toBeVisible();
  await accessible(page);
});

test("a reload of any page starts the console there", async ({ page }) => {
  await page.goto("/register?next=%2Fanalytics");
  await page.reload();
  await expect(page).toHaveURL(/\/register\?next=/);
  await expect(page.getByRole("button", { name: /create account/i })).toBeVisible();
});
