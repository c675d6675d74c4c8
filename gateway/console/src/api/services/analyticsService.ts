import { createClient, type Client } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";

import {
  AnalyticsService,
  type GetCostsRequestSchema,
  type GetSummaryRequestSchema,
  type GetTimeseriesRequestSchema,
  type ListAgentStatsRequestSchema,
} from "@gen/agentmesh/analytics/v1/analytics_service_pb";
import { transport } from "../transport";

const client: Client<typeof AnalyticsService> = createClient(AnalyticsService, transport);

/** Figures of executions. Users see their own, administrators those of all users. */
export const analyticsService = {
  getSummary: (request: MessageInitShape<typeof GetSummaryRequestSchema>, signal?: AbortSignal) => client.getSummary(request, { signal }),
  listAgentStats: (request: MessageInitShape<typeof ListAgentStatsRequestSchema>, signal?: AbortSignal) =>
    client.listAgentStats(request, { signal }),
  getTimeseries: (request: MessageInitShape<typeof GetTimeseriesRequestSchema>, signal?: AbortSignal) =>
    client.getTimeseries(request, { signal }),
  getCosts: (request: MessageInitShape<typeof GetCostsRequestSchema>, signal?: AbortSignal) => client.getCosts(request, { signal }),
};
