import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/surfaces.css";
import "./styles/overlays.css";
import "./styles/shell.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Router } from "wouter";
import { problemOf } from "./api/errors";
import { LiveStore } from "./api/live";
import { SessionProvider } from "./api/session";
import { LiveContext } from "./api/use-live";
import { Ahead, App } from "./app";
import { ToastProvider } from "./components/toast";
import { aroundNavigation, followHistory, useAddress, useAddressSearch } from "./lib/address";
import { followSystemTheme } from "./lib/theme";
import { Login, Unreachable } from "./pages/login";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // The server may be near where the rest of the network is not.
      networkMode: "always",
      // What the server refuses it will refuse again.
      retry: (failures, error) => failures < 3 && problemOf(error).unknown,
    },
  },
});

const live = new LiveStore();

followSystemTheme();
followHistory();

const root = document.getElementById("root");
if (!root) throw new Error("the page has no root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <Router hook={useAddress} searchHook={useAddressSearch} aroundNav={aroundNavigation}>
        <LiveContext.Provider value={live}>
          <SessionProvider
            waiting={<Ahead />}
            unreachable={(again) => <Unreachable again={again} />}
            login={(methods, done, ended) => <Login methods={methods} done={done} ended={ended} />}
          >
            <ToastProvider>
              <App />
            </ToastProvider>
          </SessionProvider>
        </LiveContext.Provider>
      </Router>
    </QueryClientProvider>
  </StrictMode>,
);
