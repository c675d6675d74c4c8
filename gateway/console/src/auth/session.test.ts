import { Code, ConnectError } from "@connectrpc/connect";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { safeReturnPath } from "./returnPath";
import { Session, type TokenPair } from "./session";
import { readTokens } from "./tokens";

beforeEach(() => localStorage.clear());

const pair = (name: string, expiresIn = 3600): TokenPair => ({ accessToken: name, refreshToken: `refresh-${name}`, expiresIn });

/** What another tab does to this one: the browser tells it that the storage has changed. */
function tellOtherTabs(): void {
  window.dispatchEvent(new StorageEvent("storage", { key: "agentmesh.tokens" }));
}

describe("the session", () => {
  it("uses its token while it is good, without refreshing", async () => {
    const session = new Session();
    const refresh = vi.fn();
    session.refreshWith(refresh);
    session.begin(pair("one"));
    expect(await session.accessToken()).toBe("one");
    expect(refresh).not.toHaveBeenCalled();
  });

  it("refreshes a token that is about to expire, once for many calls", async () => {
    const session = new Session();
    const refresh = vi.fn(async () => pair("two"));
    session.refreshWith(refresh);
    session.begin(pair("one", 30));
    expect(await Promise.all([session.accessToken(), session.accessToken(), session.accessToken()])).toEqual(["two", "two", "two"]);
    expect(refresh).toHaveBeenCalledExactlyOnceWith("refresh-one");
  });

  it("takes the token that another tab has refreshed while this one waited", async () => {
    const [first, second] = [new Session(), new Session()];
    const refresh = vi.fn(async () => pair("two"));
    first.refreshWith(refresh);
    second.refreshWith(refresh);
    first.begin(pair("one", 30));
    tellOtherTabs();
    expect(await Promise.all([first.accessToken(), second.accessToken()])).toEqual(["two", "two"]);
    expect(refresh).toHaveBeenCalledTimes(1);
  });

  it("ends in every tab when the platform refuses the refresh token", async () => {
    const [first, second] = [new Session(), new Session()];
    first.refreshWith(async () => Promise.reject(new ConnectError("used", Code.Unauthenticated)));
    first.begin(pair("one"));
    tellOtherTabs();
    expect(second.loggedIn).toBe(true);
    expect(await first.renew("one")).toBeNull();
    tellOtherTabs();
    expect([first.loggedIn, second.loggedIn, readTokens()]).toEqual([false, false, null]);
  });

  it("continues when the platform cannot be reached", async () => {
    const session = new Session();
    session.refreshWith(async () => Promise.reject(new ConnectError("down", Code.Unavailable)));
    session.begin(pair("one", 30));
    expect(await session.accessToken()).toBe("one");
    expect(session.loggedIn).toBe(true);
  });

  it("tells its listeners about a login and a logout, not about a refresh", async () => {
    const session = new Session();
    session.refreshWith(async () => pair("two"));
    const listener = vi.fn();
    session.subscribe(listener);
    session.begin(pair("one"));
    await session.renew("one");
    expect(listener).toHaveBeenCalledTimes(1);
    session.end();
    expect(listener).toHaveBeenCalledTimes(2);
  });
});

it.each([
  ["/agents/a?tab=about", "/agents/a?tab=about"],
  ["//evil.example/x", "/marketplace"],
  ["/\\evil.example", "/marketplace"],
  ["https://evil.example", "/marketplace"],
  ["/login?next=/x", "/marketplace"],
  [undefined, "/marketplace"],
])("a login returns from %s to %s", (path, expected) => {
  expect(safeReturnPath(path)).toBe(expected);
});
