import { type ComponentType, useEffect, useReducer, useState } from "react";
import { Loading } from "../components/basics";

type Load = () => Promise<{ default: ComponentType }>;

// A page, whose path is below its environment. Its code is loaded when it is shown, or ahead of that.
export function at(path: string, load: Load) {
  let Loaded: ComponentType | undefined;
  const ahead = async () => {
    Loaded ??= (await load()).default;
  };
  function Page() {
    const [, show] = useReducer((n: number) => n + 1, 0);
    const [failure, setFailure] = useState<Error>();
    const waits = !Loaded;
    useEffect(() => {
      if (waits) ahead().then(show, setFailure); // or it came after the page was rendered
    }, [waits]);
    if (failure) throw failure;
    if (Loaded) return <Loaded />;
    return (
      <div className="page">
        <Loading />
      </div>
    );
  }
  return { path, ahead, page: Page };
}
