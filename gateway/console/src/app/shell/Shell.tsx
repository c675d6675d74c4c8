import { Outlet, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useState } from "react";

import { stopStreams } from "@/api/streams";
import { useLiveUpdates } from "@/api/streams/useLiveUpdates";
import { useAuth } from "@/auth/AuthContext";
import { useHotkey } from "@/shared/useHotkey";
import { BottomBar, SideBar, TopBar } from "./Navigation";
import classes from "./Shell.module.css";

const Palette = lazy(() => import("../palette/Palette"));

/** The navigation around every page that needs a session. */
export function Shell() {
  const { loggedIn } = useAuth();
  const [paletteOpen, setPaletteOpen] = useState(false);
  const [paletteUsed, setPaletteUsed] = useState(false);
  const openPalette = () => {
    setPaletteUsed(true);
    setPaletteOpen(true);
  };
  useHotkey("k", openPalette);
  useHotkey("/", focusSearch, false);
  useLiveUpdates(loggedIn);
  useEffect(() => () => stopStreams(), []);
  useFocusOnNavigation();

  return (
    <div className={classes.shell}>
      <a className={classes.skip} href="#main">
        Skip to the page
      </a>
      <SideBar openPalette={openPalette} />
      <TopBar openPalette={openPalette} />
      <main id="main" className={classes.main} tabIndex={-1}>
        <Outlet />
      </main>
      <BottomBar />
      {paletteUsed && (
        <Suspense fallback={null}>
          <Palette opened={paletteOpen} close={() => setPaletteOpen(false)} />
        </Suspense>
      )}
    </div>
  );
}

function focusSearch(): void {
  document.querySelector<HTMLInputElement>("#main [data-page-search]")?.focus();
}

/** After a change of the page, the keyboard and screen readers begin at the page, not at the link that was followed. */
function useFocusOnNavigation(): void {
  const path = useRouterState({ select: (state) => state.resolvedLocation?.pathname });
  const [first, setFirst] = useState(path);
  useEffect(() => {
    if (path === first || path === undefined) return;
    setFirst(path);
    const main = document.getElementById("main");
    if (main && !main.contains(document.activeElement)) main.focus({ preventScroll: true });
  }, [path, first]);
}
