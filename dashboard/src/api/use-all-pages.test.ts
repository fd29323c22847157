// @vitest-environment jsdom
import { QueryClient, QueryClientProvider, useInfiniteQuery } from "@tanstack/react-query";
import { act, renderHook, waitFor } from "@testing-library/react";
import { createElement, type ReactNode } from "react";
import { expect, it } from "vitest";
import { useAllPages } from "./use-all-pages";

it("asks for page after page, and not again and again for one that fails", async () => {
  let fail: (() => void) | undefined;
  let fails = true;
  const asked: number[] = [];
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const wrapper = (props: { children: ReactNode }) => createElement(QueryClientProvider, { client, ...props });
  const { result } = renderHook(
    () => {
      const query = useInfiniteQuery({
        queryKey: ["pages"],
        queryFn: async ({ pageParam }) => {
          asked.push(pageParam);
          if (pageParam === 1 || !fails) return pageParam;
          return new Promise<number>((_, reject) => {
            fail = () => reject(new Error("no"));
          });
        },
        initialPageParam: 1,
        getNextPageParam: (page) => (page < 3 ? page + 1 : undefined),
      });
      useAllPages(query);
      return query;
    },
    { wrapper },
  );
  await waitFor(() => expect(result.current.isFetchingNextPage).toBe(true));
  act(() => fail?.());
  await waitFor(() => expect(result.current.isFetchingNextPage).toBe(false));
  expect(result.current.isFetchNextPageError).toBe(true);
  expect(asked).toEqual([1, 2]);

  fails = false;
  await act(() => result.current.fetchNextPage());
  await waitFor(() => expect(result.current.data?.pages).toEqual([1, 2, 3]));
});
