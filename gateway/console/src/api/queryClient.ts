import { QueryClient } from "@tanstack/react-query";

import { isAborted, problemOf } from "./errors";

/** Reads are tried again twice, and only where the error table calls the failure retryable. Commands are never repeated on their own. */
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      retry: (failures, error) => failures < 2 && !isAborted(error) && problemOf(error).retryable,
      retryDelay: (attempt, error) => (problemOf(error).retryAfterSeconds ?? 2 ** attempt) * 1000,
      // Messages hold int64 values as bigint, which the default sharing cannot compare.
      structuralSharing: false,
    },
    mutations: { retry: false },
  },
});
