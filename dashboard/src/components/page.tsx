import { type ReactNode, useEffect } from "react";

// A page's head: what it is, and what one can do there. It names the browser's tab.
export function PageHead({
  title,
  tab,
  above,
  beside,
  children,
  actions,
}: {
  title: ReactNode;
  tab: string;
  above?: ReactNode;
  // What stands beside the title, and is not part of it.
  beside?: ReactNode;
  children?: ReactNode;
  actions?: ReactNode;
}) {
  useEffect(() => {
    document.title = `${tab} · tidegate`;
  }, [tab]);
  return (
    <div className="page-head">
      <div>
        {above}
        <div className="row">
          <h1>{title}</h1>
          {beside}
        </div>
        {children && <div className="soft">{children}</div>}
      </div>
      {actions && <div className="row">{actions}</div>}
    </div>
  );
}
