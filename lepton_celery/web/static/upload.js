/* Sends a file in pieces by the protocol tus, and goes on where it was interrupted. */

const PIECE = 8 << 20;
const TRIES = 5;
const tus = { "Tus-Resumable": "1.0.0" };

const inBase64 = text => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

async function refusal(response) {
  const answer = await response.json().catch(() => ({}));
  return new Error(answer.error?.message || `The server answered ${response.status}.`);
}

/* The id of the upload. `onProgress` is called with the share that has been sent. */
export async function upload(api, file, { csrf = "", onProgress = () => {} } = {}) {
  const token = csrf ? { "X-CSRFToken": csrf } : {};
  const begun = await fetch(`${api}/uploads`, {
    method: "POST",
    headers: { ...tus, ...token, "Upload-Length": String(file.size), "Upload-Metadata": `filename ${inBase64(file.name)}` },
  });
  if (!begun.ok) throw await refusal(begun);
  const address = begun.headers.get("Location");
  let offset = 0, failures = 0;
  while (offset < file.size) {
    let sent;
    try {
      sent = await fetch(address, {
        method: "PATCH",
        headers: { ...tus, ...token, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) },
        body: file.slice(offset, offset + PIECE),
      });
      if (sent.ok) failures = 0;
      else if (![409, 423].includes(sent.status) && sent.status < 500) throw await refusal(sent);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // fetch throws that if the network fails
    }
    if (!sent?.ok) {
      if (++failures > TRIES) throw sent ? await refusal(sent) : new Error("The connection was lost.");
      await new Promise(resolve => setTimeout(resolve, 500 * 2 ** failures));
      sent = await fetch(address, { method: "HEAD", headers: { ...tus, ...token } }).catch(() => null);
    }
    const told = sent?.headers.get("Upload-Offset");
    if (told !== null && told !== undefined) offset = Number(told);
    onProgress(offset / file.size);
  }
  return address.split("/").pop();
}
