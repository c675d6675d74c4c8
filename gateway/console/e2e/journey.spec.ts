import { expect, freshName, test } from "./fixtures";

test("a user finds an agent, runs it, builds a workflow, approves it, reads its cost and manages keys", async ({
  page,
  request,
  expected,
  accessible,
  pictures,
}) => {
  test.setTimeout(240_000);
  const name = freshName("ada");
  await page.goto("/register");
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill("a long enough password");
  await page.getByRole("button", { name: "Create account" }).click();
  // To register and to log in hash a password each, which takes long on a busy machine.
  await expect(page).toHaveURL(/\/marketplace/, { timeout: 60_000 });

  await test.step("find an agent with a sentence", async () => {
    await page.getByPlaceholder("Describe the work, or type a few words").fill("find the keywords that people search for before they buy a cargo bike");
    await expect(page.getByRole("link", { name: /Keyword and Intent Mapper/ })).toBeVisible();
    await accessible(page);
    await pictures(page, "marketplace");
    await page.getByRole("link", { name: /Keyword and Intent Mapper/ }).click();
    await expect(page.getByRole("heading", { name: "Keyword and Intent Mapper" })).toBeVisible();
  });

  await test.step("run it", async () => {
    await page.getByRole("button", { name: "Run this" }).first().click();
    const answer = page.getByRole("region", { name: "Answer" });
    await expect(answer.getByText("Completed", { exact: true })).toBeVisible({ timeout: 30_000 });
    await accessible(page);
    await pictures(page, "agent");
    // The answer belongs to the run, not to the page.
    await page.reload();
    await expect(answer.getByText("Completed", { exact: true })).toBeVisible();
  });

  await test.step("build a workflow of three tasks, and correct what the server refuses", async () => {
    await page.goto("/workflows/new");
    await page.getByLabel("Name of the workflow").fill("Launch of a cargo bike");
    const add = async (search: string, agent: RegExp) => {
      await page.getByRole("button", { name: "Add a task" }).click();
      await page.getByLabel("What the task is").fill(search);
      await page.getByRole("dialog").getByRole("button", { name: agent }).click();
    };
    const input = page.getByLabel("Input", { exact: true });
    await add("keyword research", /^Keyword and Intent Mapper/);
    await input.fill("What do people search for before buying a cargo bike?");
    await add("website text", /^Website Copywriter/);
    await input.fill("Write the page.\n\n");
    await page.getByRole("button", { name: "Insert the answer of another task" }).click();
    await page.getByRole("menuitem", { name: "keyword_and_intent_mapper" }).click();
    await expect(input).toHaveValue(/\{\{tasks\.keyword_and_intent_mapper\.result\}\}/);
    await page.getByLabel("Ask me before it begins").check();
    await add("newsletter", /^Newsletter Editor/);
    await accessible(page);
    await pictures(page, "builder");

    expected.requests.push(/^grpc 3 .*CreateWorkflow$/); // the input of the third task is empty
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await expect(page.getByText("The workflow was not saved. Correct newsletter_editor")).toBeVisible();
    await input.fill("Announce it.");
    await page.reload();
    await expect(page.getByLabel("Name of the workflow")).toHaveValue("Launch of a cargo bike"); // a draft survives a reload
    await page.getByRole("button", { name: "Save and run" }).click();
    await expect(page).toHaveURL(/\/runs\//);
  });

  await test.step("approve it and see it finish", async () => {
    const step = page.getByRole("region", { name: "Step website_copywriter" });
    await step.getByRole("button", { name: "Approve" }).click({ timeout: 30_000 });
    await expect(step.getByText("Completed", { exact: true }).first()).toBeVisible({ timeout: 30_000 });
    await expect(page.getByRole("group", { name: "Timeline of the steps" }).getByText("Completed")).toHaveCount(3, { timeout: 30_000 });
    await accessible(page);
    await pictures(page, "run");
    await page.goto("/dashboard");
    await page.getByRole("link", { name: "Launch of a cargo bike" }).click();
    await expect(page.getByRole("table", { name: "Runs of the workflow" }).getByText("Completed")).toBeVisible();
    await accessible(page);
    await pictures(page, "workflow");

    // A workflow never changes: editing opens a copy.
    await page.getByRole("link", { name: "Edit a copy" }).click();
    await expect(page.getByLabel("Name of the workflow")).toHaveValue("Launch of a cargo bike (copy)");
    await page.getByRole("group", { name: /^newsletter_editor/ }).click();
    await expect(page.getByRole("region", { name: "Task newsletter_editor" }).getByLabel("Input", { exact: true })).toHaveValue("Announce it.");
  });

  await test.step("read its cost", async () => {
    await page.goto("/executions");
    await expect(page.getByRole("table", { name: "Executions" }).getByRole("row")).toHaveCount(5); // four calls and the heading
    await pictures(page, "executions");
    // The figures follow the books by a few seconds.
    await expect(async () => {
      await page.goto("/analytics?range=24h");
      await expect(page.getByRole("table", { name: "Figures by agent" }).getByRole("link", { name: "Website Copywriter" })).toBeVisible({ timeout: 3_000 });
    }).toPass({ timeout: 45_000 });
    await accessible(page);
    await pictures(page, "analytics");
  });

  await test.step("create a key, use it and revoke it", async () => {
    await page.goto("/account");
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByLabel("Name", { exact: true }).fill("ci pipeline");
    await page.getByRole("button", { name: "Create key" }).click();
    const secret = (await page.getByRole("region", { name: "The new key" }).locator("code").textContent()) ?? "";
    const list = () => request.get("/api/v1/executions", { headers: { "x-api-key": secret } });
    expect((await list()).status()).toBe(200);
    await page.getByRole("button", { name: "Done" }).click();
    await accessible(page);
    await pictures(page, "account");
    await page.getByRole("button", { name: "Revoke the key ci pipeline" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Revoke" }).click();
    await expect(page.getByRole("table", { name: "API keys" }).getByText("Revoked")).toBeVisible();
    await expect(async () => expect((await list()).status()).toBe(401)).toPass({ timeout: 10_000 });
  });

  await test.step("administrators' pages are closed, and logging out ends the session", async () => {
    await page.goto("/admin/users");
    await expect(page.getByRole("heading", { name: "The list of users is for administrators" })).toBeVisible();
    await page.getByRole("button", { name: `Account of ${name}` }).click();
    await page.getByRole("menuitem", { name: "Log out", exact: true }).click();
    await expect(page).toHaveURL(/\/login/);
  });
});
