import "./access.css";
import type { UseQueryResult } from "@tanstack/react-query";
import { type LucideIcon, Search } from "lucide-react";
import type { ReactNode } from "react";
import { useLocation, useSearch } from "wouter";
import { instead } from "../../api/errors";
import { Empty, Input, Loading } from "../basics";
import { ProblemNote } from "../problem";

// A table of all that a query found, and a search whose words the address keeps.
export function SearchedTable<T>({
  what,
  query,
  said,
  by,
  columns,
  row,
  icon,
  none,
  nothing,
}: {
  // "keys", and the like.
  what: string;
  query: UseQueryResult<T[]>;
  // What the search looks through.
  said: (one: T) => string;
  // The same in words: "name or role".
  by: string;
  columns: string[];
  row: (one: T) => ReactNode;
  icon: LucideIcon;
  // What to say where nothing is like the words; where there is nothing at all.
  none: string;
  nothing: ReactNode;
}) {
  const [location, navigate] = useLocation();
  const text = new URLSearchParams(useSearch()).get("q") ?? "";
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = query.data?.filter((one) => {
    const all = said(one).toLowerCase();
    return words.every((w) => all.includes(w));
  });
  const failure = instead(query);
  if (failure) return <ProblemNote failure={failure} again={() => void query.refetch()} />;
  return (
    <>
      <search className="searched">
        <Search size={15} aria-hidden />
        <Input
          type="search"
          aria-label={`Search the ${what}`}
          placeholder={`Search by ${by}`}
          value={text}
          onChange={(e) =>
            navigate(`${location}${e.target.value ? `?q=${encodeURIComponent(e.target.value)}` : ""}`, {
              replace: true,
            })
          }
        />
      </search>
      <section className="card" aria-label={`All ${what}`}>
        {!found ? (
          <div className="body">
            <Loading rows={5} label={`Loading the ${what}`} />
          </div>
        ) : found.length === 0 ? (
          text ? (
            <Empty icon={Search} title={none} />
          ) : (
            <Empty icon={icon} title={none}>
              {nothing}
            </Empty>
          )
        ) : (
          <div className="scroll-x">
            <table className="table">
              <thead>
                <tr>
                  {columns.map((c) => (
                    <th key={c} scope="col">
                      {c}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>{found.map(row)}</tbody>
            </table>
          </div>
        )}
      </section>
    </>
  );
}
