// For tests: jsdom has no modal dialogs. One is open here, and stays until it is taken away.
export function modalDialogs() {
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = () => {};
}
