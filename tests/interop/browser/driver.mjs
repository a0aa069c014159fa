// Runs Chromium without a window and does in its pages what its standard input says.
//
//   node driver.mjs MODULES PROFILE CERTIFICATE [FLAG ...]
//
// MODULES has `node_modules`, PROFILE is an empty directory, CERTIFICATE is the PEM file of the one server that
// Chromium is to take in spite of an unknown authority. A line in:  {"id": 1, "page": "a", "what": "call", "with": {…}}
// The page is made when it is named first; `what` is a function of page.js. A line out:  {"id": 1, "value": …}  or
// {"id": 1, "error": "…"}. It ends, and Chromium with it, when its input ends. Pages may have the microphone and know
// addresses, unless `--ask-for-media` is among the flags, which Chromium does not know.
import { spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const [modules, profile, certificate, ...more] = process.argv.slice(2);
const here = path.dirname(fileURLToPath(import.meta.url));
const esbuild = createRequire(path.join(modules, 'package.json'))('esbuild');

const bundle = await esbuild.build({
  entryPoints: [path.join(here, 'page.js')],
  nodePaths: [path.join(modules, 'node_modules')],
  bundle: true, write: false, format: 'iife', platform: 'browser', define: { global: 'window' }, logLevel: 'error',
});
const script = bundle.outputFiles[0].text;
const site = http.createServer((request, response) => {
  const [type, body] = request.url === '/page.js'
    ? ['text/javascript', script]
    : ['text/html', '<!doctype html><meta charset="utf-8"><title>telephone</title><body><script src="/page.js"></script>'];
  response.setHeader('Content-Type', type);
  response.end(body);
});
await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
const home = `http://127.0.0.1:${site.address().port}/`;

const key = new X509Certificate(fs.readFileSync(certificate)).publicKey.export({ type: 'spki', format: 'der' });
const chromium = spawn('chromium', [
  '--headless=new', '--remote-debugging-pipe', `--user-data-dir=${profile}`, '--no-sandbox', '--disable-gpu', '--disable-quic',
  '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions',
  '--disable-dev-shm-usage', '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
  '--autoplay-policy=no-user-gesture-required', '--use-fake-device-for-media-stream',
  `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`,
  ...(more.includes('--ask-for-media') ? [] : ['--use-fake-ui-for-media-stream']), ...more, 'about:blank',
], { stdio: ['ignore', 'ignore', fs.openSync(path.join(profile, '..', 'chromium.log'), 'w'), 'pipe', 'pipe'] });
chromium.on('exit', (code, signal) => {
  console.error(`chromium ended: ${signal ?? code}`);
  process.exit(1);
});

// The browser's own protocol over two pipes: one JSON object, then an octet of zero.
let asked = 0, rest = Buffer.alloc(0);
const replies = new Map(), sessions = new Map();
chromium.stdio[4].on('data', (data) => {
  rest = Buffer.concat([rest, data]);
  for (let end; (end = rest.indexOf(0)) >= 0; rest = rest.subarray(end + 1)) hear(JSON.parse(rest.subarray(0, end)));
});
function hear({ id, result, error, method, params, sessionId }) {
  if (id) {
    const [fulfil, refuse] = replies.get(id);
    replies.delete(id);
    return error ? refuse(new Error(error.message)) : fulfil(result);
  }
  const page = sessions.get(sessionId);
  if (!page) return;
  if (method === 'Page.loadEventFired') page.loaded();
  if (method === 'Runtime.exceptionThrown') console.error(`${page.name}: ${text(params.exceptionDetails)}`);
  if (method === 'Runtime.consoleAPICalled' && params.type === 'error') {
    console.error(`${page.name}: ${params.args.map((a) => a.value ?? a.description).join(' ')}`);
  }
}
function tell(method, params = {}, sessionId = undefined) {
  chromium.stdio[3].write(`${JSON.stringify({ id: ++asked, method, params, sessionId })}\0`);
  return new Promise((fulfil, refuse) => replies.set(asked, [fulfil, refuse]));
}
const text = (details) => details.exception?.description ?? details.exception?.value ?? details.text;

async function open(name) {
  const { targetId } = await tell('Target.createTarget', { url: 'about:blank', newWindow: true });
  const { sessionId } = await tell('Target.attachToTarget', { targetId, flatten: true });
  const page = { name, sessionId };
  sessions.set(sessionId, page);
  const loaded = new Promise((fulfil) => { page.loaded = fulfil; });
  await tell('Page.enable', {}, sessionId);
  await tell('Runtime.enable', {}, sessionId);
  await tell('Page.navigate', { url: home }, sessionId);
  await loaded;
  return page;
}

async function evaluate({ sessionId }, what, arg) {
  const expression = `telephone[${JSON.stringify(what)}](${JSON.stringify(arg ?? {})})`;
  const params = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
  const { result, exceptionDetails } = await tell('Runtime.evaluate', params, sessionId);
  if (exceptionDetails) throw new Error(text(exceptionDetails));
  return result.value ?? null;
}

const pages = new Map();
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { id, page, what, with: arg } = JSON.parse(line);
  if (!pages.has(page)) pages.set(page, open(page));
  pages.get(page).then((page) => evaluate(page, what, arg)).then(
    (value) => say({ id, value }),
    (error) => say({ id, error: error.message }),
  );
}
chromium.removeAllListeners('exit');
await Promise.race([tell('Browser.close'), new Promise((late) => setTimeout(late, 2000))]);
chromium.kill('SIGKILL');
process.exit(0);
