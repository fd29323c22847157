// Answers the harness's requests (../program_test.go), one JSON object a line, with the
// official providers of Node.
import { createInterface } from 'node:readline';
import { FlagdProvider } from '@openfeature/flagd-provider';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/server-sdk';

const client = OpenFeature.getClient();

const send = (message) => process.stdout.write(JSON.stringify(message) + '\n');

function provider({ provider, host, port, selector, cache, backoff_ms, deadline_ms }) {
  switch (provider) {
    case 'rpc':
    case 'in-process':
      return new FlagdProvider({
        resolverType: provider,
        host,
        port,
        selector,
        cache: cache ? 'lru' : 'disabled',
        deadlineMs: deadline_ms,
        retryBackoffMs: backoff_ms,
        retryBackoffMaxMs: backoff_ms,
      });
    case 'ofrep':
      return new OFREPProvider({
        baseUrl: `http://${host}:${port}`,
        headers: selector ? [['Flagd-Selector', selector]] : [],
      });
  }
  throw new Error(`unknown provider ${provider}`);
}

async function connect(request) {
  for (const event of Object.values(ProviderEvents)) {
    client.addHandler(event, (details) => send({ event, flags: details?.flagsChanged, error: details?.message }));
  }
  await OpenFeature.setProviderAndWait(provider(request));
  return {};
}

const resolve = {
  boolean: (key, fallback, context) => client.getBooleanDetails(key, fallback, context),
  string: (key, fallback, context) => client.getStringDetails(key, fallback, context),
  integer: (key, fallback, context) => client.getNumberDetails(key, fallback, context),
  double: (key, fallback, context) => client.getNumberDetails(key, fallback, context),
  object: (key, fallback, context) => client.getObjectDetails(key, fallback, context),
};

async function evaluate({ flag, type, fallback, context }) {
  const details = await resolve[type](flag, fallback, context);
  return {
    value: details.value,
    variant: details.variant,
    reason: details.reason,
    error_code: details.errorCode,
    error_message: details.errorMessage,
    metadata: details.flagMetadata,
  };
}

const operations = { connect, evaluate, status: async () => ({ status: client.providerStatus }) };

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  operations[request.op](request).then(
    (answer) => send({ id: request.id, ...answer }),
    (error) => send({ id: request.id, error: String(error) }),
  );
}
await OpenFeature.close();
process.exit(0);
