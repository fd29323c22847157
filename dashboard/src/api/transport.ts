import { Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { AuditService } from "../gen/tidegate/control/v1/audit_service_pb";
import { ChangeRequestService } from "../gen/tidegate/control/v1/change_request_service_pb";
import { EnvironmentService } from "../gen/tidegate/control/v1/environment_service_pb";
import { FlagService } from "../gen/tidegate/control/v1/flag_service_pb";
import { FleetService } from "../gen/tidegate/control/v1/fleet_service_pb";
import { FreezeService } from "../gen/tidegate/control/v1/freeze_service_pb";
import { IdentityService } from "../gen/tidegate/control/v1/identity_service_pb";
import { KeyService } from "../gen/tidegate/control/v1/key_service_pb";
import { NotificationService } from "../gen/tidegate/control/v1/notification_service_pb";
import { RolloutService } from "../gen/tidegate/control/v1/rollout_service_pb";
import { SegmentService } from "../gen/tidegate/control/v1/segment_service_pb";
import { SessionService } from "../gen/tidegate/control/v1/session_service_pb";
import { WatchService } from "../gen/tidegate/control/v1/watch_service_pb";
import { actor } from "./actor";

// Told when the server says that nobody is logged in any more.
let loggedOut = () => {};

export function onLoggedOut(then: () => void) {
  loggedOut = then;
}

const identify: Interceptor = (next) => async (request) => {
  const name = actor();
  if (name) request.header.set("tidegate-actor", name);
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: untilLoggedOut(response.message) } : response;
  } catch (failure) {
    noticeLogout(failure);
    throw failure;
  }
};

// A stream tells how it ended after its messages.
async function* untilLoggedOut<T>(messages: AsyncIterable<T>) {
  try {
    yield* messages;
  } catch (failure) {
    noticeLogout(failure);
    throw failure;
  }
}

function noticeLogout(failure: unknown) {
  if (failure instanceof ConnectError && failure.code === Code.Unauthenticated) loggedOut();
}

// In ms. Whoever waits for longer is better told that it is not known.
const patience = 30_000;

const connect = createConnectTransport({
  baseUrl: window.location.origin,
  useBinaryFormat: true,
  interceptors: [identify],
});

// Streams last for as long as somebody looks.
const transport: Transport = {
  ...connect,
  unary: (method, signal, timeoutMs, ...rest) => connect.unary(method, signal, timeoutMs ?? patience, ...rest),
};

// The services, as everybody has them: what is possible here is possible with grpcurl.
export const flags = createClient(FlagService, transport);
export const segments = createClient(SegmentService, transport);
export const rollouts = createClient(RolloutService, transport);
export const environments = createClient(EnvironmentService, transport);
export const audit = createClient(AuditService, transport);
export const fleet = createClient(FleetService, transport);
export const keys = createClient(KeyService, transport);
export const identities = createClient(IdentityService, transport);
export const sessions = createClient(SessionService, transport);
export const notifications = createClient(NotificationService, transport);
export const watch = createClient(WatchService, transport);
export const changeRequests = createClient(ChangeRequestService, transport);
export const freezes = createClient(FreezeService, transport);
