// Passkeys: the one thing that pages cannot do without a script. A form with
// data-passkey="get" or "create" has the browser's reply put into its field
// "credential", and is then sent as any other.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function readable(options) {
  options.challenge = bytes(options.challenge);
  if (options.user) options.user.id = bytes(options.user.id);
  for (const list of ["allowCredentials", "excludeCredentials"]) {
    for (const key of options[list] || []) key.id = bytes(key.id);
  }
  return options;
}

function written(key) {
  const out = { id: key.id, rawId: text(key.rawId), type: key.type, clientExtensionResults: {}, response: {} };
  if (key.authenticatorAttachment) out.authenticatorAttachment = key.authenticatorAttachment;
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (key.response[name]) out.response[name] = text(key.response[name]);
  }
  if (key.response.getTransports) out.response.transports = key.response.getTransports();
  return JSON.stringify(out);
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const said = form.querySelector("[data-said]");
  const button = form.querySelector("button");
  if (!window.PublicKeyCredential) {
    said.textContent = "This browser has no passkeys, or this address is not safe enough for them.";
    continue;
  }
  button.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    said.textContent = "Waiting for your passkey.";
    try {
      const publicKey = readable(JSON.parse(form.dataset.options));
      const key = await navigator.credentials[form.dataset.passkey]({ publicKey });
      form.elements.credential.value = written(key);
      form.submit();
    } catch (fault) {
      button.disabled = false;
      said.textContent = fault.name === "InvalidStateError"
        ? "This device has a passkey for this account already."
        : "Nothing came of it. Try again, or take another way.";
    }
  });
}
