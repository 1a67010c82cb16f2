//! The authenticator and credentials that are no API keys, without HTTP: what is judged before what, and what is written for
//! whom.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use otpgate::access::authenticator::{AuthenticationError, Authenticator, Cause};
use otpgate::access::connection::{Connection, Credentials, NewConnection, QuotaSetting};
use otpgate::access::credential::{Credential, Proof, PublicName, Signature, TOLERANCE};
use otpgate::access::nonce::{NonceKey, NonceStore, Spent};
use otpgate::access::scope::Scopes;
use otpgate::access::store::ConnectionStore as _;
use otpgate::clock::{Clock, UnixMillis};
use otpgate::otp::store::{Later, StoreError};
use otpgate::secret::SystemEntropy;
use otpgate::store::memory::MemoryStore;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::store::world::World;

/// Finds every nonce fresh, or answers what it is told to; remembers what was spent and until when.
#[derive(Default)]
struct Nonces {
    spent: Mutex<Vec<(NonceKey, UnixMillis)>>,
    answer: Mutex<Option<Result<Spent, StoreError>>>,
}

impl NonceStore for Nonces {
    fn spend(&self, key: NonceKey, until: UnixMillis) -> Later<'_, Result<Spent, StoreError>> {
        self.spent.lock().push((key, until));
        let answer = self.answer.lock().unwrap_or(Ok(Spent::Fresh));
        Box::pin(std::future::ready(answer))
    }

    fn drop_nonces(&self, _: UnixMillis, _: usize) -> Later<'_, Result<usize, StoreError>> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

struct Bench {
    world: World,
    store: Arc<MemoryStore>,
    nonces: Arc<Nonces>,
    authenticator: Authenticator,
}

const MILLI: Duration = Duration::from_millis(1);

impl Bench {
    fn new() -> Self {
        let world = World::new();
        let (store, nonces) = (Arc::new(world.memory()), Arc::new(Nonces::default()));
        let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
        let authenticator =
            Authenticator::new(Arc::clone(&store) as _, Arc::clone(&nonces) as _, Arc::clone(&world.keyring), clock);
        Self { world, store, nonces, authenticator }
    }

    async fn connection(&self, allow_simple: bool, allow_client_id: bool) -> (Connection, Credentials) {
        let wish = NewConnection {
            account: self.world.account.clone(),
            name: "shop".to_owned(),
            quota: QuotaSetting::default(),
            scopes: Scopes::default(),
            allow_simple,
            allow_client_id,
        };
        let (connection, credentials) = Connection::create(wish, &self.world.keyring, &SystemEntropy, self.world.now());
        self.store.put_connection(None, connection.clone()).await.unwrap();
        (connection, credentials)
    }

    async fn refusal(&self, credential: &Credential) -> Option<Cause> {
        match self.authenticator.prove(credential).await {
            Ok(_) => None,
            Err(AuthenticationError::Refused(cause)) => Some(cause),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn signed(name: &str, secret: &str, nonce: &str, at: UnixMillis) -> Credential {
    let message = format!("accessKeyId={name}&nonce={nonce}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes()).as_ref().try_into().unwrap();
    let messages = vec![Zeroizing::new("another way".to_owned()), Zeroizing::new(message)];
    let proof = Proof::Signature(Signature { messages, tag, at, nonce: nonce.to_owned() });
    Credential { name: PublicName::AccessKeyId(name.to_owned()), proof }
}

fn bare(name: PublicName) -> Credential {
    Credential { name, proof: Proof::NameAlone }
}

#[tokio::test]
async fn nothing_is_written_for_who_has_not_proved_who_he_is() {
    let bench = Bench::new();
    let (connection, credentials) = bench.connection(false, false).await;
    let (id, secret, now) =
        (connection.access_key_id.as_str(), credentials.access_key_secret.expose(), bench.world.now());
    for _ in 0..2 {
        let cases = [
            (signed(id, "another", "n", now), Cause::Unproven),
            (signed(id, secret, "n", now.minus(TOLERANCE + MILLI)), Cause::Stale),
            (signed("AAAAAAAAAAAAAAAAAAAAAAAA", secret, "n", now.minus(TOLERANCE + MILLI)), Cause::Stale),
            (signed("AAAAAAAAAAAAAAAAAAAAAAAA", secret, "n", now), Cause::Unknown),
            (signed(&connection.client_id, secret, "n", now), Cause::Unknown),
            (signed(connection.keys[0].name.as_str(), secret, "n", now), Cause::Unknown),
            (signed("a b", secret, "n", now), Cause::Malformed),
            (signed("", secret, "n", now), Cause::Malformed),
            (signed(&"a".repeat(65), secret, "n", now), Cause::Malformed),
            (bare(PublicName::AccessKeyId(id.to_owned())), Cause::Unproven),
            (bare(PublicName::ClientId(connection.client_id.clone())), Cause::Unproven),
        ];
        for (credential, cause) in cases {
            assert_eq!(bench.refusal(&credential).await, Some(cause), "{credential:?}");
        }
        assert!(bench.nonces.spent.lock().is_empty());
    }
    assert_eq!(bench.refusal(&signed(id, secret, "n", now)).await, None);
    assert_eq!(bench.nonces.spent.lock().len(), 1);
}

#[tokio::test]
async fn a_nonce_that_cannot_be_kept_lets_nobody_in() {
    let bench = Bench::new();
    let (connection, credentials) = bench.connection(false, false).await;
    let credential = signed(&connection.access_key_id, credentials.access_key_secret.expose(), "n", bench.world.now());
    for error in [StoreError::Full, StoreError::Unavailable, StoreError::Failed] {
        *bench.nonces.answer.lock() = Some(Err(error));
        let outcome = bench.authenticator.prove(&credential).await.map(|caller| caller.connection);
        assert_eq!(outcome, Err(AuthenticationError::Store(error)));
    }
    *bench.nonces.answer.lock() = Some(Ok(Spent::Seen));
    assert_eq!(bench.refusal(&credential).await, Some(Cause::Replayed));
    *bench.nonces.answer.lock() = None;
    let caller = bench.authenticator.prove(&credential).await.unwrap();
    assert_eq!((caller.connection, &caller.account), (connection.id, &connection.account));
}

#[tokio::test]
async fn a_proof_is_timely_for_ten_minutes_and_its_nonce_is_kept_for_longer() {
    let bench = Bench::new();
    let (connection, credentials) = bench.connection(false, false).await;
    let now = bench.world.now();
    let sign = |nonce: &str, at| signed(&connection.access_key_id, credentials.access_key_secret.expose(), nonce, at);
    for (nonce, at) in [("a", now), ("b", now.minus(TOLERANCE)), ("c", now + TOLERANCE)] {
        assert_eq!(bench.refusal(&sign(nonce, at)).await, None);
    }
    for at in [now.minus(TOLERANCE + MILLI), now + (TOLERANCE + MILLI), UnixMillis(0), UnixMillis(u64::MAX)] {
        assert_eq!(bench.refusal(&sign("d", at)).await, Some(Cause::Stale));
    }
    let spent = bench.nonces.spent.lock().clone();
    let keys: std::collections::BTreeSet<_> = spent.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys.len(), 3, "each is its own");
    let last_timely = now + TOLERANCE + TOLERANCE;
    assert!(spent.iter().all(|(_, until)| *until > last_timely));
}

#[tokio::test]
async fn a_name_alone_opens_where_it_was_allowed_until_the_connection_is_revoked() {
    let bench = Bench::new();
    let (simple, _) = bench.connection(true, false).await;
    let (public, _) = bench.connection(false, true).await;
    let access_key = |connection: &Connection| bare(PublicName::AccessKeyId(connection.access_key_id.clone()));
    let client_id = |connection: &Connection| bare(PublicName::ClientId(connection.client_id.clone()));
    for _ in 0..2 {
        assert_eq!(bench.refusal(&access_key(&simple)).await, None);
        assert_eq!(bench.refusal(&client_id(&public)).await, None);
        assert_eq!(bench.refusal(&client_id(&simple)).await, Some(Cause::Unproven));
        assert_eq!(bench.refusal(&access_key(&public)).await, Some(Cause::Unproven));
        // One kind of name is no other kind.
        let crossed = bare(PublicName::AccessKeyId(public.client_id.clone()));
        assert_eq!(bench.refusal(&crossed).await, Some(Cause::Unknown));
    }
    let revoked = Connection { revoked: Some(bench.world.now() + Duration::from_secs(5)), ..simple.clone() };
    bench.store.put_connection(Some(simple.clone()), revoked.clone()).await.unwrap();
    assert_eq!(bench.refusal(&access_key(&simple)).await, None, "not yet");
    bench.world.clock.advance(Duration::from_secs(5));
    assert_eq!(bench.refusal(&access_key(&simple)).await, Some(Cause::Expired));
    // What was remembered goes with the generation of the store.
    let forbidden = Connection { allow_client_id: false, ..public.clone() };
    bench.store.put_connection(Some(public.clone()), forbidden).await.unwrap();
    assert_eq!(bench.refusal(&client_id(&public)).await, Some(Cause::Unproven));
}
