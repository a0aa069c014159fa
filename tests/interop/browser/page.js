// The telephone in the page: JsSIP, a tone in place of a microphone, an analyser in place of an ear. Every function of
// `telephone` takes one object and gives a value, or a promise of one, that can be written as JSON.
import JsSIP from 'jssip';

let agent, sound, tone, settings;
let current = null; // { session, connection, analyser, player, channel, received }
const happened = [], waiting = [], forgotten = [];

function note(name, detail = {}) {
  happened.push({ name, at: Math.round(performance.now()), ...detail });
  for (const look of waiting.splice(0)) look();
}

/// The next of what happened that has one of these names; what came before it is forgotten.
async function next({ names, within = 15000 }) {
  const end = performance.now() + within, passed = [];
  for (;;) {
    while (happened.length) {
      const event = happened.shift();
      if (names.includes(event.name)) {
        forgotten.push(...passed, event);
        return event;
      }
      passed.push(event);
    }
    const left = end - performance.now();
    if (left <= 0) throw new Error(`none of ${names} within ${within} ms; instead: ${JSON.stringify(passed)}; before: ${JSON.stringify(forgotten.slice(-20))}`);
    await new Promise((look) => { waiting.push(look); setTimeout(look, left); });
  }
}

/// Looks again and again until `found` gives something.
async function until(found, within, otherwise) {
  const end = performance.now() + within;
  for (;;) {
    const value = await found();
    if (value) return value;
    if (performance.now() > end) throw new Error(`${otherwise()} within ${within} ms`);
    await new Promise((again) => setTimeout(again, 50));
  }
}

/// Registers: { server, user, hz, level }, `server` being a URL of WebSocket. `data`: an offer has a data channel. `pcConfig` is
/// the configuration of connections; with `hideAddresses` the page has no microphone.
async function register(given) {
  settings = given;
  // Who may hear may know the addresses: without this all host candidates have names of multicast DNS.
  if (!given.hideAddresses) (await navigator.mediaDevices.getUserMedia({ audio: true })).getTracks().forEach((t) => t.stop());
  sound = new AudioContext({ sampleRate: 48000 });
  await sound.resume();
  const oscillator = sound.createOscillator(), gain = sound.createGain();
  tone = sound.createMediaStreamDestination();
  oscillator.frequency.value = given.hz;
  gain.gain.value = given.level ?? 0.25;
  oscillator.connect(gain).connect(tone);
  oscillator.start();

  agent = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(given.server)],
    uri: `sip:${given.user}@sip.test`, password: `secret${given.user}`, register_expires: 60,
  });
  agent.on('registered', () => note('registered'));
  agent.on('registrationFailed', ({ cause }) => note('registration_failed', { cause }));
  agent.on('disconnected', () => note('disconnected'));
  agent.on('newRTCSession', ({ session, originator }) => {
    const call = watch(session);
    if (originator === 'local') return connect(call, session.connection);
    note('incoming', { from: session.remote_identity.uri.toString() });
    if (settings.answers !== false) answer();
  });
  agent.start();
  const { name, cause } = await next({ names: ['registered', 'registration_failed'] });
  if (name !== 'registered') throw new Error(`not registered: ${cause}`);
}

function watch(session) {
  const call = current = { session, connection: null, analyser: null, player: null, channel: null, got: null, sum: null };
  session.on('peerconnection', ({ peerconnection }) => connect(call, peerconnection));
  session.on('progress', ({ originator }) => note('progress', { by: originator }));
  session.on('accepted', ({ originator }) => note('accepted', { by: originator }));
  session.on('confirmed', ({ originator }) => note('confirmed', { by: originator }));
  session.on('hold', ({ originator }) => note('held', { by: originator }));
  session.on('unhold', ({ originator }) => note('resumed', { by: originator }));
  session.on('newDTMF', ({ originator, dtmf }) => note('dtmf', { by: originator, digit: dtmf.tone }));
  const over = ({ originator, cause, message }) => {
    call.player?.remove();
    call.analyser?.disconnect();
    note('ended', { by: originator, cause, status: message?.status_code ?? null });
  };
  session.on('ended', over);
  session.on('failed', over);
  for (const step of ['createoffer', 'createanswer', 'setlocaldescription', 'setremotedescription']) {
    session.on(`peerconnection:${step}failed`, (error) => note('error', { step, what: String(error) }));
  }
  return call;
}

function connect(call, connection) {
  call.connection = connection;
  connection.addEventListener('connectionstatechange', () => note('connection', { state: connection.connectionState }));
  connection.addEventListener('track', ({ track }) => {
    // Chromium decodes for Web Audio only what some element plays.
    call.player?.remove();
    call.player = document.createElement('audio');
    Object.assign(call.player, { autoplay: true, muted: true, srcObject: new MediaStream([track]) });
    document.body.append(call.player);
    call.analyser = Object.assign(sound.createAnalyser(), { fftSize: 8192, smoothingTimeConstant: 0 });
    sound.createMediaStreamSource(call.player.srcObject).connect(call.analyser);
  });
  connection.addEventListener('datachannel', ({ channel }) => use(call, channel));
  if (settings.data && call.session.direction === 'outgoing') use(call, connection.createDataChannel('files', { protocol: 'bulk' }));
}

const media = () => ({ mediaStream: tone.stream, pcConfig: settings.pcConfig ?? { iceServers: [] } });
const call = ({ to }) => void agent.call(to, { ...media(), rtcOfferConstraints: { offerToReceiveAudio: true } });
const answer = () => current.session.answer(media());
const hangUp = () => current.session.terminate();
const press = ({ digits }) => current.session.sendDTMF(digits, { transportType: 'RFC2833', duration: 100, interToneGap: 70 });

/// The change is done when the peer has agreed.
const agreed = (ask) => new Promise((done, failed) => {
  if (!ask(() => done(true))) failed(new Error('the call cannot be changed now'));
});
const hold = () => agreed((done) => current.session.hold({}, done));
const resume = () => agreed((done) => current.session.unhold({}, done));
const restartIce = () => agreed((done) => current.session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, done));

/// The strongest tone of the last sixth of a second in Hz, and its level in dB below full scale.
function ear() {
  const { analyser } = current;
  if (!analyser) return { hz: 0, db: -200 };
  const bins = new Float32Array(analyser.frequencyBinCount), wave = new Float32Array(analyser.fftSize);
  analyser.getFloatFrequencyData(bins);
  analyser.getFloatTimeDomainData(wave);
  let top = 1;
  for (let i = 2; i + 1 < bins.length; i += 1) if (bins[i] > bins[top]) top = i;
  const [left, middle, right] = bins.subarray(top - 1, top + 2);
  const bend = left - 2 * middle + right;
  const off = Number.isFinite(bend) && bend !== 0 ? (left - right) / (2 * bend) : 0;
  const power = wave.reduce((sum, x) => sum + x * x, 0) / wave.length;
  return { hz: ((top + off) * sound.sampleRate) / analyser.fftSize, db: 10 * Math.log10(Math.max(power, 1e-20)) };
}

/// Waits until that tone is heard at that level, give or take 1 % and 3 dB, and gives what it was.
const hear = ({ hz, db, within = 5000 }) => until(() => {
  const heard = ear();
  return Math.abs(heard.hz - hz) <= hz * 0.01 && Math.abs(heard.db - db) <= 3 ? heard : null;
}, within, () => `${hz} Hz at ${db} dB not heard but ${JSON.stringify(ear())}`);

const hearNothing = ({ within = 5000 }) => until(() => (ear().db < -70 ? ear() : null), within, () => `no silence: ${JSON.stringify(ear())}`);

/// What `getStats` says of the call.
async function stats() {
  const report = await current.connection.getStats();
  const all = [...report.values()], of = (type) => all.filter((row) => row.type === type);
  const end = (id) => { const c = report.get(id) ?? {}; return { type: c.candidateType, protocol: c.protocol, relay: c.relayProtocol, address: c.address, port: c.port }; };
  const transport = of('transport')[0] ?? {}, pair = report.get(transport.selectedCandidatePairId) ?? {};
  const [heard, said] = [of('inbound-rtp')[0] ?? {}, of('outbound-rtp')[0] ?? {}];
  return {
    transports: of('transport').length, dtls: transport.dtlsState, tls: transport.tlsVersion, cipher: transport.dtlsCipher,
    srtp: transport.srtpCipher, dtlsRole: transport.dtlsRole, iceRole: transport.iceRole, ice: transport.iceState,
    changes: transport.selectedCandidatePairChanges, local: end(pair.localCandidateId), remote: end(pair.remoteCandidateId),
    rtt: pair.currentRoundTripTime, codec: report.get(heard.codecId)?.mimeType, sends: report.get(said.codecId)?.mimeType,
    received: heard.packetsReceived, lost: heard.packetsLost, concealed: heard.concealedSamples, bytesReceived: heard.bytesReceived,
    sent: said.packetsSent, bytesSent: said.bytesSent, farLost: of('remote-inbound-rtp')[0]?.packetsLost,
    farRtt: of('remote-inbound-rtp')[0]?.roundTripTime,
  };
}

const descriptions = () => ({ local: current.connection.localDescription?.sdp, remote: current.connection.remoteDescription?.sdp });

// The bulk that channels carry: numbers that nobody guesses, in messages of 16 KiB, then the SHA-256 of all as text.
const MESSAGE = 16384;
const hex = (octets) => [...new Uint8Array(octets)].map((o) => o.toString(16).padStart(2, '0')).join('');
const digest = async (octets) => hex(await crypto.subtle.digest('SHA-256', octets));

function use(call, channel) {
  Object.assign(call, { channel, got: [], sum: null });
  channel.binaryType = 'arraybuffer';
  channel.onopen = () => note('channel', { label: channel.label, protocol: channel.protocol, ordered: channel.ordered });
  channel.onclose = () => note('channel_closed', { label: channel.label });
  channel.onmessage = ({ data }) => {
    if (typeof data !== 'string') return call.got.push(data);
    call.sum = data;
    return note('channel_text', { text: data });
  };
  if (channel.readyState === 'open') channel.onopen();
}

/// Waits until the call has a channel, and gives what it is. It may open before the call is confirmed, or after.
const opened = ({ within = 15000 }) => until(() => {
  const { channel } = current;
  return channel?.readyState === 'open' ? { label: channel.label, protocol: channel.protocol, ordered: channel.ordered } : null;
}, within, () => `no channel is open but ${JSON.stringify(current.channel?.readyState ?? null)}`);

/// Sends so many octets and their digest, and gives that.
async function send({ octets }) {
  const { channel } = current, bulk = new Uint8Array(octets);
  for (let i = 0; i < octets; i += 65536) crypto.getRandomValues(bulk.subarray(i, Math.min(i + 65536, octets)));
  channel.bufferedAmountLowThreshold = 256 * 1024;
  for (let i = 0; i < octets; i += MESSAGE) {
    if (channel.bufferedAmount > 1024 * 1024) await new Promise((low) => { channel.onbufferedamountlow = low; });
    channel.send(bulk.subarray(i, Math.min(i + MESSAGE, octets)));
  }
  const sum = await digest(bulk);
  channel.send(sum);
  return sum;
}

/// Waits for the peer's digest and compares.
async function receive({ within = 60000 }) {
  const call = current;
  await until(() => call.sum, within, () => `no digest after ${call.got.length} messages`);
  const bulk = new Uint8Array(await new Blob(call.got).arrayBuffer());
  return { octets: bulk.length, same: (await digest(bulk)) === call.sum };
}

window.telephone = { register, next, call, answer, hangUp, press, hold, resume, restartIce, hear, hearNothing, stats, descriptions, opened, send, receive };
