import { RefreshCw } from "lucide-react";
import { Component, type ReactNode } from "react";
import { Button, Note } from "./basics";

type Props = { address: string; children: ReactNode };
type State = { failed: boolean };

// Guard keeps what is around a page alive when the page cannot be loaded, or fails: another
// address is another try.
export class Guard extends Component<Props, State> {
  state: State = { failed: false };

  static getDerivedStateFromError(): State {
    return { failed: true };
  }

  componentDidUpdate(before: Props) {
    if (this.state.failed && before.address !== this.props.address) this.setState({ failed: false });
  }

  render() {
    if (!this.state.failed) return this.props.children;
    return (
      <div className="page">
        <Note tone="bad">
          <strong>This page cannot be shown</strong>
          <span>
            Its code did not come, or has failed: the server may have been upgraded since this tab was opened. Flags are
            served as before.
          </span>
          <div>
            <Button small onClick={() => window.location.reload()}>
              <RefreshCw size={14} aria-hidden /> Load it anew
            </Button>
          </div>
        </Note>
      </div>
    );
  }
}
