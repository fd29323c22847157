package dev.tidegate.conformance;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.openfeature.contrib.providers.flagd.Config;
import dev.openfeature.contrib.providers.flagd.FlagdOptions;
import dev.openfeature.contrib.providers.flagd.FlagdProvider;
import dev.openfeature.sdk.Client;
import dev.openfeature.sdk.EvaluationContext;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.ImmutableContext;
import dev.openfeature.sdk.OpenFeatureAPI;
import dev.openfeature.sdk.ProviderEvent;
import dev.openfeature.sdk.Value;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * Answers the harness's requests (conformance/program_test.go), one JSON object a line, with
 * the official flagd provider of Java.
 */
public final class Main {

    private static final ObjectMapper json = new ObjectMapper().setSerializationInclusion(JsonInclude.Include.NON_NULL);
    private static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final OpenFeatureAPI api = OpenFeatureAPI.getInstance();
    private final Client client = api.getClient();

    public static void main(String[] args) throws IOException {
        var requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var main = new Main();
        for (String line; (line = requests.readLine()) != null; ) {
            JsonNode request = json.readTree(line);
            ObjectNode answer;
            try {
                answer = main.answer(request);
            } catch (Exception e) {
                answer = JsonNodeFactory.instance.objectNode().put("error", e.toString());
            }
            send(answer.put("id", request.get("id").asLong()));
        }
        main.api.shutdown();
        System.exit(0); // threads of the provider do not hold the process
    }

    /** Events come from the provider's threads; a line is written at once. */
    private static synchronized void send(ObjectNode message) {
        out.println(message);
    }

    private ObjectNode answer(JsonNode request) {
        return switch (request.get("op").asText()) {
            case "connect" -> connect(request);
            case "evaluate" -> evaluate(request);
            case "status" -> JsonNodeFactory.instance.objectNode()
                    .put("status", client.getProviderState().name());
            default -> throw new IllegalArgumentException("unknown operation: " + request);
        };
    }

    private ObjectNode connect(JsonNode request) {
        for (ProviderEvent event : ProviderEvent.values()) {
            client.on(event, details -> {
                ObjectNode message = JsonNodeFactory.instance.objectNode().put("event", event.name());
                message.set("flags", json.valueToTree(details.getFlagsChanged()));
                send(message.put("error", details.getMessage()));
            });
        }
        int backoff = request.get("backoff_ms").asInt();
        api.setProviderAndWait(new FlagdProvider(FlagdOptions.builder()
                .resolverType("rpc".equals(request.get("provider").asText())
                        ? Config.Resolver.RPC
                        : Config.Resolver.IN_PROCESS)
                .host(request.get("host").asText())
                .port(request.get("port").asInt())
                .selector(request.path("selector").asText(null))
                .cacheType(request.path("cache").asBoolean() ? "lru" : "disabled")
                .deadline(request.get("deadline_ms").asInt())
                .retryBackoffMs(backoff)
                .build()));
        return JsonNodeFactory.instance.objectNode();
    }

    private ObjectNode evaluate(JsonNode request) {
        String flag = request.get("flag").asText();
        JsonNode fallback = request.get("fallback");
        EvaluationContext context = context(request.path("context"));
        FlagEvaluationDetails<?> details = switch (request.get("type").asText()) {
            case "boolean" -> client.getBooleanDetails(flag, fallback.asBoolean(), context);
            case "string" -> client.getStringDetails(flag, fallback.asText(), context);
            case "integer" -> client.getIntegerDetails(flag, fallback.asInt(), context);
            case "double" -> client.getDoubleDetails(flag, fallback.asDouble(), context);
            case "object" -> client.getObjectDetails(flag, value(fallback), context);
            default -> throw new IllegalArgumentException("unknown type: " + request);
        };
        ObjectNode answer = JsonNodeFactory.instance.objectNode();
        answer.set("value", json.valueToTree(plain(details.getValue())));
        answer.put("variant", details.getVariant());
        answer.put("reason", details.getReason());
        answer.put("error_code", details.getErrorCode() == null ? null : details.getErrorCode().name());
        answer.put("error_message", details.getErrorMessage());
        answer.set("metadata", json.valueToTree(details.getFlagMetadata().asUnmodifiableMap()));
        return answer;
    }

    private static EvaluationContext context(JsonNode attributes) {
        Map<String, Value> values = new HashMap<>();
        String targetingKey = null;
        for (var attribute : attributes.properties()) {
            if (attribute.getKey().equals("targetingKey")) {
                targetingKey = attribute.getValue().asText();
            } else {
                values.put(attribute.getKey(), value(attribute.getValue()));
            }
        }
        return targetingKey == null ? new ImmutableContext(values) : new ImmutableContext(targetingKey, values);
    }

    private static Value value(JsonNode node) {
        return Value.objectToValue(json.convertValue(node, Object.class));
    }

    private static Object plain(Object value) {
        if (value instanceof Value v) {
            return v.isStructure() ? v.asStructure().asObjectMap() : v.asObject();
        }
        return value;
    }
}
