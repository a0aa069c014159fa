//! Accounts: an identity to call from and be called at.

use crate::agent::Shared;
use crate::command::{Command, Content, Headers, Registered, SendRequest, Sender};
use crate::credentials::AuthSpec;
use crate::{CallBuilder, Error, Ice, IncomingCall, Method, SipMessage, Srtp};
use std::sync::Arc;
use std::time::Duration;
use tiny_sak::{Secret, Transport};
use tiny_sip::aka::Usim;
use tiny_sip::identity::Signer;
use tiny_sip::{
    AccountKey, AuthPolicy, Credentials, Push, RegistrationInfo, Scheme, SecurityMechanism, Uri,
};

/// Names an account in events; stays valid as a name when the account is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub(crate) AccountKey);

/// What an account is made of.
#[derive(Debug, Clone)]
pub(crate) struct AccountSpec {
    pub(crate) aor: String,
    pub(crate) display: Option<String>,
    pub(crate) auth_user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) registrar: Option<String>,
    pub(crate) expires: u32,
    pub(crate) route: Vec<String>,
    pub(crate) transport: Option<Transport>,
    pub(crate) headers: Headers,
    pub(crate) rules: Vec<crate::HeaderRule>,
    pub(crate) auth: AuthSpec,
    pub(crate) policy: crate::Policy,
    pub(crate) srtp: Option<Srtp>,
    pub(crate) ice: Option<Ice>,
    pub(crate) webrtc: Option<bool>,
    pub(crate) data: Option<bool>,
    pub(crate) instance: Option<String>,
    pub(crate) outbound: bool,
    pub(crate) flows: Vec<String>,
    pub(crate) gruu: bool,
    pub(crate) push: Option<Push>,
    pub(crate) also: Vec<(String, Option<f32>)>,
    pub(crate) caller: crate::caller::CallerSpec,
}

impl AccountSpec {
    pub(crate) fn new(aor: String) -> Self {
        Self {
            aor,
            display: None,
            auth_user: None,
            password: None,
            registrar: None,
            expires: 600,
            route: Vec::new(),
            transport: None,
            headers: Vec::new(),
            rules: Vec::new(),
            instance: None,
            outbound: false,
            flows: Vec::new(),
            gruu: false,
            push: None,
            also: Vec::new(),
            caller: Default::default(),
            srtp: None,
            ice: None,
            webrtc: None,
            data: None,
            auth: AuthSpec::default(),
            policy: crate::Policy::default(),
        }
    }
}

/// Describes an account; from [`UserAgent::account`](crate::UserAgent::account).
#[derive(Debug)]
#[must_use]
pub struct AccountBuilder {
    shared: Arc<Shared>,
    pub(crate) spec: AccountSpec,
}

impl AccountBuilder {
    pub(crate) fn new(shared: Arc<Shared>, aor: String) -> Self {
        Self { shared, spec: AccountSpec::new(aor) }
    }

    /// The name that peers see beside the address.
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.spec.display = Some(name.into());
        self
    }

    /// The password for digest authentication.
    pub fn password(mut self, password: impl Into<Secret>) -> Self {
        self.spec.password = Some(password.into());
        self
    }

    /// The user name for digest authentication, when it is not the AOR's user part.
    pub fn auth_user(mut self, user: impl Into<String>) -> Self {
        self.spec.auth_user = Some(user.into());
        self
    }

    /// A user name and password of one realm, beside the ones for all realms; repeat it for several.
    pub fn credentials(
        mut self,
        realm: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Self {
        let (realm, username, password) = (Some(realm.into()), user.into(), password.into());
        self.spec.auth.more.push(Credentials { realm, username, password });
        self
    }

    /// Answers AKA challenges (RFC 3310, RFC 4169) with this USIM in software. For a card, see
    /// [`ask_credentials`](Self::ask_credentials).
    pub fn usim(mut self, usim: Usim) -> Self {
        self.spec.auth.usim = Some(usim);
        self
    }

    /// Signs the calls of this account (RFC 8224): Date and Identity on every new INVITE.
    pub fn sign_calls(mut self, signer: Signer) -> Self {
        self.spec.auth.signer = Some(signer);
        self
    }

    /// Agrees on security with the first proxy (RFC 3329): announces these mechanisms, most preferred
    /// first, and turns on the best that the proxy has too. Default: none is announced.
    pub fn security_agreement(mut self, mechanisms: &[SecurityMechanism]) -> Self {
        self.spec.auth.security = mechanisms.to_vec();
        self
    }

    /// Asks the application for what the account does not have, by
    /// [`Event::CredentialsWanted`](crate::Event::CredentialsWanted): a password, what a USIM gives,
    /// or a token (RFC 8898; only over TLS).
    pub fn ask_credentials(mut self) -> Self {
        self.spec.auth.policy.ask = true;
        self
    }

    /// How challenges are answered: which algorithms, which of several, `auth` or `auth-int`.
    pub fn auth_policy(mut self, change: impl FnOnce(&mut AuthPolicy)) -> Self {
        change(&mut self.spec.auth.policy);
        self
    }

    /// The registrar, when it is not the AOR's domain, e.g. `sip:registrar.example.com`.
    pub fn registrar(mut self, uri: impl Into<String>) -> Self {
        self.spec.registrar = Some(uri.into());
        self
    }

    /// How long to ask the registrar for; default 600 s. It is refreshed before it expires.
    pub fn expires(mut self, span: Duration) -> Self {
        self.spec.expires = span.as_secs().min(u64::from(u32::MAX)) as u32;
        self
    }

    /// Sends everything by way of this proxy; repeat it for a route of several.
    pub fn outbound_proxy(mut self, uri: impl Into<String>) -> Self {
        self.spec.route.push(uri.into());
        self
    }

    /// The transport to use where the URI of the next hop leaves the choice.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.spec.transport = Some(transport);
        self
    }

    /// How the calls of this account treat encryption; what [`Config::srtp`](crate::Config::srtp) says
    /// when not called.
    pub fn srtp(mut self, srtp: Srtp) -> Self {
        self.spec.srtp = Some(srtp);
        self
    }

    /// Whether the calls of this account use ICE; what [`Config::ice`](crate::Config::ice) says when not
    /// called.
    pub fn ice(mut self, ice: Ice) -> Self {
        self.spec.ice = Some(ice);
        self
    }

    /// Whether the calls of this account are as browsers make them; what
    /// [`Config::webrtc`](crate::Config::webrtc) says when not called.
    pub fn webrtc(mut self, on: bool) -> Self {
        self.spec.webrtc = Some(on);
        self
    }

    /// Whether the offers of this account have data channels; what
    /// [`Config::offer_data`](crate::Config::offer_data) says when not called.
    pub fn data(mut self, on: bool) -> Self {
        self.spec.data = Some(on);
        self
    }

    /// A header field on every request of this account outside of calls, the INVITE of a call among
    /// them. For others, and for responses, see [`header_rule`](Self::header_rule).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.headers.push((name.into(), value.into()));
        self
    }

    /// Registers by RFC 5626: calls come in over the flow that registered, which is kept alive and
    /// formed anew when it fails. A registrar that does not know it gets a plain registration.
    pub fn outbound(mut self) -> Self {
        self.spec.outbound = true;
        self
    }

    /// Keeps a flow of its own through this edge proxy, in place of
    /// [`outbound_proxy`](Self::outbound_proxy); repeat it, up to
    /// [`max_flows`](tiny_sip::Config::max_flows) times, to be reached as long as one of them lives (RFC
    /// 5626 §4.2). Implies [`outbound`](Self::outbound).
    pub fn flow(mut self, proxy: impl Into<String>) -> Self {
        self.spec.flows.push(proxy.into());
        self
    }

    /// Asks the registrar for a globally routable URI of this device (RFC 5627) and gives it to peers
    /// as Contact: a transfer or a late request reaches this device and no other.
    pub fn gruu(mut self) -> Self {
        self.spec.gruu = true;
        self
    }

    /// Tells the registrar which push service wakes this device (RFC 8599); see
    /// [`Account::wake`].
    pub fn push(mut self, push: Push) -> Self {
        self.spec.push = Some(push);
        self
    }

    /// Registers this contact along with our own, and refreshes it: where calls go as well, before (or
    /// after) here by its `q` of 0 to 1. A URI of any scheme; repeat it for several.
    pub fn also_at(mut self, uri: impl Into<String>, q: Option<f32>) -> Self {
        self.spec.also.push((uri.into(), q));
        self
    }

    /// Names this device towards the registrar, in place of
    /// [`Config::instance_id`](crate::Config::instance_id): a URN such as
    /// `urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6` that never changes (RFC 5626 §4.1).
    pub fn instance_id(mut self, urn: impl Into<String>) -> Self {
        self.spec.instance = Some(urn.into());
        self
    }

    /// What the account does by itself: forwarding, do-not-disturb, transfers, redirections.
    pub fn policy(mut self, policy: crate::Policy) -> Self {
        self.spec.policy = policy;
        self
    }

    /// Adds the account without registering it: it can call, and is reached by direct calls.
    ///
    /// # Errors
    /// [`Error::Config`] names the setting that is wrong.
    pub async fn build(self) -> Result<Account, Error> {
        self.check()?;
        let (aor, spec) = (self.spec.aor.clone(), Box::new(self.spec));
        let commands = &self.shared.commands;
        let key = commands.ask(|reply| Command::AddAccount { spec, reply }).await?;
        let inner = AccountInner { shared: self.shared.clone(), key, aor };
        Ok(Account { inner: Arc::new(inner) })
    }

    /// Adds the account and registers it; done when the registrar has accepted. The registration is
    /// refreshed until the last handle is dropped.
    ///
    /// # Errors
    /// [`Error::Config`], or why there is no registration.
    pub async fn register(self) -> Result<Account, Error> {
        let account = self.build().await?;
        account.register().await?;
        Ok(account)
    }

    fn check(&self) -> Result<(), Error> {
        check_uri("account", &self.spec.aor)?;
        for route in self.spec.route.iter().chain(&self.spec.flows) {
            check_uri("outbound proxy", route)?;
        }
        if let Some(instance) = &self.spec.instance {
            check_instance(instance)?;
        }
        check_policy(&self.spec.policy)?;
        crate::ice::check_webrtc(self.spec.webrtc)?;
        crate::ice::check_data(self.spec.data)?;
        for (uri, q) in &self.spec.also {
            crate::bindings::contact("contact", uri, *q)?;
        }
        match &self.spec.registrar {
            Some(uri) => check_uri("registrar", uri),
            None => Ok(()),
        }
    }
}

/// Refuses forwarding to what cannot be called.
fn check_policy(policy: &crate::Policy) -> Result<(), Error> {
    let no_answer = policy.forward_no_answer.as_ref().map(|(_, to)| to);
    let all = [policy.forward_always.as_ref(), policy.forward_busy.as_ref(), no_answer];
    all.into_iter().flatten().try_for_each(|to| check_uri("forward", to))
}

/// Refuses what is not a SIP URI with a sentence that shows a right one.
pub(crate) fn check_uri(field: &str, text: &str) -> Result<(), Error> {
    let example = "expected something like sip:alice@example.com";
    let uri = Uri::parse(text)
        .map_err(|e| Error::config(field, format!("'{text}' is not a URI ({e}); {example}")))?;
    if !matches!(uri.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return Err(Error::config(field, format!("'{text}' is not a SIP URI; {example}")));
    }
    Ok(())
}

/// RFC 5626 §4.1: "The instance ID MUST be a URN".
pub(crate) fn check_instance(text: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\');
    if text.starts_with("urn:") && text.len() <= 256 && text.bytes().all(plain) {
        return Ok(());
    }
    let what = format!("'{text}' is no URN; expected something like urn:uuid:f81d4fae-…");
    Err(Error::config("instance id", what))
}

#[derive(Debug)]
struct AccountInner {
    shared: Arc<Shared>,
    key: AccountKey,
    aor: String,
}

impl Drop for AccountInner {
    fn drop(&mut self) {
        self.shared.commands.tell(Command::RemoveAccount { account: self.key });
    }
}

/// An account. Cheap to clone; when the last handle is dropped it unregisters.
#[derive(Debug, Clone)]
pub struct Account {
    inner: Arc<AccountInner>,
}

impl Account {
    /// Its name in events.
    pub fn id(&self) -> AccountId {
        AccountId(self.inner.key)
    }

    /// Its address of record.
    pub fn aor(&self) -> &str {
        &self.inner.aor
    }

    /// Registers, or registers anew.
    ///
    /// # Errors
    /// [`Error::Peer`] with the registrar's status (403 and 401 for a wrong password),
    /// [`Error::Timeout`] or [`Error::Network`] when there is no answer.
    pub async fn register(&self) -> Result<Registered, Error> {
        let account = self.inner.key;
        self.commands().ask(|reply| Command::Register { account, reply }).await
    }

    /// Takes the registration back and waits for the registrar's word.
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub async fn unregister(&self) -> Result<(), Error> {
        let account = self.inner.key;
        self.commands().ask(|reply| Command::Unregister { account, reply }).await
    }

    /// What the registrar gave: route, GRUUs, associated identities, and which flows are up.
    ///
    /// # Errors
    /// [`Error::State`] when the account is not registered.
    pub async fn registration(&self) -> Result<RegistrationInfo, Error> {
        let account = self.inner.key;
        self.commands().ask(|reply| Command::Registration { account, reply }).await
    }

    /// A push notification has come: registers anew and waits, at most so long, for the call that it
    /// announces (RFC 8599 §4.1.4). The call goes to this future and not to
    /// [`UserAgent::next_event`](crate::UserAgent::next_event).
    ///
    /// The sequence: the registrar holds an INVITE and has the push service wake the application; the
    /// application (still there, or started anew with its account) calls `wake`; a REGISTER goes
    /// out; when it is accepted, the registrar sends the INVITE over that flow; the future gives it.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no call came (the caller may have hung up), or why there is no
    /// registration, when it is not tried again.
    pub async fn wake(&self, patience: Duration) -> Result<IncomingCall, Error> {
        let account = self.inner.key;
        self.commands().ask(|reply| Command::Wake { account, patience, reply }).await
    }

    /// Changes what the account does by itself, for calls to come.
    ///
    /// # Errors
    /// [`Error::Config`] for a target of forwarding that cannot be called.
    pub fn set_policy(&self, policy: crate::Policy) -> Result<(), Error> {
        check_policy(&policy)?;
        let (account, policy) = (self.inner.key, Box::new(policy));
        self.commands().tell(Command::SetPolicy { account, policy });
        Ok(())
    }

    /// Prepares a call; await the builder to place it.
    ///
    /// Header fields in the URI (`sip:bob@example.com?Subject=Tea`, RFC 3261 §19.1.5) go into the
    /// INVITE; those that would say who or where we are, what we can do or which way the request goes
    /// are left out, and so is a body. A URI that cannot make a valid request is refused: one with a
    /// malformed Replaces, or that requires what this build has not.
    pub fn call(&self, to: impl Into<String>) -> CallBuilder {
        CallBuilder::new(self.clone(), to.into())
    }

    /// Asks what the peer supports (OPTIONS, RFC 3261 §11).
    ///
    /// # Errors
    /// [`Error::Peer`] for any final response but 2xx.
    pub async fn options(&self, to: &str) -> Result<SipMessage, Error> {
        self.request(Method::Options, to).header("Accept", "application/sdp").send().await
    }

    /// Prepares a request of any method outside of a call. Header fields and a body in the URI are
    /// honoured as in [`call`](Self::call).
    pub fn request(&self, method: Method, to: &str) -> RequestBuilder {
        let (target, check) = match crate::target::of("request URI", to, &method) {
            Ok(target) => (target, check_uri("request URI", to)),
            Err(e) => (Default::default(), Err(e)),
        };
        let from = Sender::Account { account: self.inner.key, to: target.uri };
        let mut builder = RequestBuilder::new(self.inner.shared.clone(), from, method, check);
        (builder.request.headers, builder.request.body) = (target.headers, target.body);
        builder
    }

    pub(crate) fn key(&self) -> AccountKey {
        self.inner.key
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    fn commands(&self) -> &crate::command::Commands {
        &self.inner.shared.commands
    }
}

/// A request being prepared.
#[derive(Debug)]
#[must_use]
pub struct RequestBuilder {
    shared: Arc<Shared>,
    check: Result<(), Error>,
    request: Box<SendRequest>,
}

impl RequestBuilder {
    pub(crate) fn new(
        shared: Arc<Shared>,
        from: Sender,
        method: Method,
        check: Result<(), Error>,
    ) -> Self {
        let (headers, body, envelope) = (Vec::new(), None, None);
        let request = Box::new(SendRequest { from, method, headers, body, envelope });
        Self { shared, check, request }
    }

    /// Adds a header field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, content_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        let content_type = content_type.into();
        self.request.body = Some(Content { content_type, data: data.into() });
        self
    }

    pub(crate) fn envelope(mut self, envelope: crate::body::cpim::Cpim) -> Self {
        self.request.envelope = Some(envelope);
        self
    }

    /// Sends it and waits for the final response; digest challenges are answered on the way.
    ///
    /// # Errors
    /// [`Error::Peer`] for any final response but 2xx.
    pub async fn send(self) -> Result<SipMessage, Error> {
        self.check?;
        let request = self.request;
        self.shared.commands.ask(|reply| Command::Request { request, reply }).await
    }
}
