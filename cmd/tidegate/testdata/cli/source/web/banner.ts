if (client.getBooleanValue('new-checkout', false) && flags.newCheckout) {
  show(client.getStringValue('banner', 'none'));
}
