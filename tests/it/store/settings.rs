//! What every store does with applications and connections.

use std::sync::Arc;
use std::time::Duration;

use otpgate::access::connection::{Connection, KEYS, NewConnection, QuotaSetting};
use otpgate::access::key::KeyName;
use otpgate::access::scope::Scopes;
use otpgate::access::store::ConnectionStore;
use otpgate::otp::application::{Application, ApplicationName, ApplicationRef, TEMPLATES_PER_APPLICATION};
use otpgate::otp::catalogue::{Catalogue, CatalogueError};
use otpgate::otp::channel::Channel;
use otpgate::otp::id::{AccountId, ApplicationId};
use otpgate::otp::language::Language;
use otpgate::otp::store::{ApplicationStore, WriteError};
use otpgate::otp::template::Template;
use otpgate::secret::SystemEntropy;

use super::world::{Store, World};

fn account(name: &str) -> AccountId {
    name.parse().unwrap()
}

fn application(world: &World, account: &AccountId, alias: u32, name: &str) -> Application {
    let name = if name == "default" { Application::default_name() } else { ApplicationName::parse(name).unwrap() };
    Application::new(ApplicationId::generate(&SystemEntropy), alias, account.clone(), name, world.now())
}

pub(crate) fn connection(world: &World, name: &str) -> Connection {
    let wish = NewConnection {
        account: world.account.clone(),
        name: name.to_owned(),
        quota: QuotaSetting::default(),
        scopes: Scopes::default(),
        allow_simple: false,
        allow_client_id: false,
    };
    Connection::create(wish, &world.keyring, &SystemEntropy, world.now()).0
}

pub(crate) async fn a_setting_is_written_over_what_it_names<S: Store>(world: &World, store: &Arc<S>) {
    let team = account("team");
    let generation = ApplicationStore::generation(&**store);
    let first = application(world, &team, 1, "shop");
    store.put_application(None, first.clone()).await.unwrap();
    assert!(ApplicationStore::generation(&**store) > generation);
    assert_eq!(store.put_application(None, first.clone()).await, Err(WriteError::Conflict), "it is there");
    let mut second = first.clone();
    second.alphanumeric = true;
    store.put_application(Some(first.clone()), second.clone()).await.unwrap();
    let mut third = first.clone();
    third.sender = None;
    assert_eq!(
        store.put_application(Some(first.clone()), third.clone()).await,
        Err(WriteError::Conflict),
        "it has moved"
    );
    assert_eq!(store.applications(&team).await.unwrap(), [second.clone()]);
    store.put_application(Some(second), third).await.unwrap();
    assert!(store.delete_application(&team, first.id).await.unwrap());
    assert!(!store.delete_application(&team, first.id).await.unwrap());
    assert_eq!(store.put_application(Some(first.clone()), first).await, Err(WriteError::Conflict), "it is gone");
    assert!(store.applications(&team).await.unwrap().is_empty());
}

/// Earlier releases took any two letters for a language.
pub(crate) async fn languages_of_older_releases_are_kept_and_count<S: Store>(world: &World, store: &Arc<S>) {
    let team = account("team");
    let mut first = application(world, &team, 1, "default");
    let letters = || b'a'..=b'z';
    let codes = letters().flat_map(|one| letters().map(move |two| format!("{}{}", char::from(one), char::from(two))));
    let text = Template::parse("{{OTP}}").unwrap();
    for code in codes.take(TEMPLATES_PER_APPLICATION) {
        first.templates.set(Language::of_store(&code).unwrap(), Channel::Sms, text.clone());
    }
    store.put_application(None, first.clone()).await.unwrap();
    assert_eq!(store.applications(&team).await.unwrap(), [first]);
    let catalogue = Catalogue::new(Arc::clone(store) as _, Arc::clone(&world.clock) as _, Arc::new(SystemEntropy));
    let german: Language = "de".parse().unwrap();
    let odd = Language::of_store("aq").unwrap();
    let one_more = |application: &mut Application| application.templates.set(german, Channel::Voice, text.clone());
    let refused = catalogue.edit(&team, ApplicationRef::Default, one_more).await;
    assert_eq!(refused.map(|_| ()), Err(CatalogueError::TooManyTemplates));
    let instead = |application: &mut Application| {
        assert!(application.templates.drop_one(odd, Channel::Sms));
        application.templates.set(german, Channel::Voice, text.clone());
    };
    let edited = catalogue.edit(&team, ApplicationRef::Default, instead).await.unwrap();
    assert_eq!(edited.templates.len(), TEMPLATES_PER_APPLICATION);
}

pub(crate) async fn aliases_and_the_default_are_unique<S: Store>(world: &World, store: &Arc<S>) {
    let team = account("team");
    let first = application(world, &team, 1, "default");
    let second = application(world, &team, 2, "shop");
    for application in [&first, &second] {
        store.put_application(None, application.clone()).await.unwrap();
    }
    for clash in [application(world, &team, 2, "other"), application(world, &team, 3, "default")] {
        assert_eq!(store.put_application(None, clash).await, Err(WriteError::Conflict));
    }
    let mut moved = second.clone();
    moved.alias = 1;
    assert_eq!(store.put_application(Some(second.clone()), moved).await, Err(WriteError::Conflict));
    let mut moved = second.clone();
    moved.alias = 5;
    store.put_application(Some(second), moved).await.unwrap();
    store.put_application(None, application(world, &team, 2, "shop")).await.unwrap();
    assert_eq!(store.applications(&team).await.unwrap().len(), 3, "names may repeat, aliases are free again");
}

pub(crate) async fn accounts_do_not_share_applications<S: Store>(world: &World, store: &Arc<S>) {
    let (team, other) = (account("team"), account("other"));
    let ours = application(world, &team, 1, "default");
    store.put_application(None, ours.clone()).await.unwrap();
    store.put_application(None, application(world, &other, 1, "default")).await.unwrap();
    let mut stolen = ours.clone();
    stolen.account = other.clone();
    assert_eq!(
        store.put_application(None, stolen.clone()).await,
        Err(WriteError::Conflict),
        "ids are unique everywhere"
    );
    assert_eq!(store.put_application(Some(ours.clone()), stolen).await, Err(WriteError::Conflict));
    assert!(!store.delete_application(&other, ours.id).await.unwrap());
    assert_eq!(store.applications(&team).await.unwrap(), [ours]);
}

pub(crate) async fn a_connection_is_found_by_its_names<S: Store>(world: &World, store: &Arc<S>) {
    let first = connection(world, "flow");
    world.clock.advance(Duration::from_secs(1));
    let second = connection(world, "app");
    let generation = ConnectionStore::generation(&**store);
    for connection in [&second, &first] {
        store.put_connection(None, connection.clone()).await.unwrap();
    }
    assert!(ConnectionStore::generation(&**store) > generation);
    assert_eq!(store.connections().await.unwrap(), [first.clone(), second.clone()], "oldest first");
    assert_eq!(store.connection(first.id).await.unwrap().as_ref(), Some(&first));
    let old = first.keys[0].name.clone();
    for name in [&old, &KeyName::from_stored(&first.access_key_id), &KeyName::from_stored(&first.client_id)] {
        assert_eq!(store.by_key(name).await.unwrap().as_deref(), Some(&first));
    }
    assert_eq!(store.by_key(&KeyName::from_stored("nobody")).await.unwrap(), None);
    let mut rotated = first.clone();
    let rotate = |connection: &mut Connection| {
        connection.rotate(Duration::from_secs(60), &world.keyring, &SystemEntropy, world.now()).map(drop).unwrap();
    };
    for _ in 1..KEYS {
        rotate(&mut rotated);
    }
    store.put_connection(Some(first.clone()), rotated.clone()).await.unwrap();
    assert_eq!((rotated.keys.len(), &rotated.keys[0].name), (KEYS, &old));
    for key in &rotated.keys {
        assert_eq!(store.by_key(&key.name).await.unwrap().as_deref(), Some(&rotated), "each of them is kept");
    }
    world.clock.advance(Duration::from_secs(60));
    let before = rotated.clone();
    rotate(&mut rotated);
    store.put_connection(Some(before), rotated.clone()).await.unwrap();
    assert_eq!(store.by_key(&old).await.unwrap(), None, "a key that was rotated away finds nothing");
    assert_eq!(store.by_key(&rotated.keys[1].name).await.unwrap().as_deref(), Some(&rotated));
    assert_eq!(store.put_connection(Some(first), rotated.clone()).await, Err(WriteError::Conflict));
    let mut clash = connection(world, "clash");
    clash.client_id.clone_from(&second.client_id);
    assert_eq!(store.put_connection(None, clash.clone()).await, Err(WriteError::Conflict));
    assert_eq!(store.connection(clash.id).await.unwrap(), None, "a conflict writes nothing");
}

pub(crate) async fn concurrent_writers_of_a_setting_lose_nothing<S: Store>(world: &World, store: &Arc<S>) {
    let id = connection(world, "0");
    store.put_connection(None, id.clone()).await.unwrap();
    let id = id.id;
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                loop {
                    let before = store.connection(id).await.unwrap().unwrap();
                    let mut after = before.clone();
                    after.quota.calls += 1;
                    match store.put_connection(Some(before), after).await {
                        Ok(()) => break,
                        Err(error) => assert_eq!(error, WriteError::Conflict),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.connection(id).await.unwrap().unwrap().quota.calls, 120);
}
