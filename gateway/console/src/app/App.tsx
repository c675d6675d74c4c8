import { MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useEffect } from "react";

import { queryClient } from "@/api/queryClient";
import { AuthProvider, useAuth } from "@/auth/AuthContext";
import { router } from "./router";
import { styleNonce } from "./styleNonce";
import { cssVariables, theme } from "./theme";

export function App() {
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto" cssVariablesResolver={cssVariables} getStyleNonce={styleNonce}>
      <QueryClientProvider client={queryClient}>
        <AuthProvider>
          <Routes />
        </AuthProvider>
      </QueryClientProvider>
    </MantineProvider>
  );
}

function Routes() {
  const { loggedIn } = useAuth();
  // A session can begin or end in another tab: the guards of the current page decide anew where the user belongs.
  useEffect(() => {
    void router.invalidate();
  }, [loggedIn]);
  return <RouterProvider router={router} />;
}
