import type { Reporter, TestCase, TestResult } from "@playwright/test/reporter";

// OnlyTable passes on what a measurement prints, and nothing else; what went wrong is an error.
export default class OnlyTable implements Reporter {
  onStdOut(chunk: string | Buffer) {
    process.stdout.write(chunk);
  }

  onStdErr(chunk: string | Buffer) {
    process.stderr.write(chunk);
  }

  onTestEnd(test: TestCase, result: TestResult) {
    for (const error of result.errors) process.stderr.write(`${test.title}: ${error.stack ?? error.message}\n`);
  }

  printsToStdio() {
    return true;
  }
}
