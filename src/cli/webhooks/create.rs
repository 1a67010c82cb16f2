//! `otpgate webhooks create`: tells a receiver that was written for OneAccess' event callbacks. (Others subscribe by
//! themselves, by `POST /v1/webhooks`.) The receiver is asked first, and nothing is kept unless it answers as it should; but one
//! that checks who asks cannot know that yet, so an operator may vouch for it.

use std::io::Write;

use clap::{Args, ValueEnum};

use crate::access::connection::ConnectionId;
use crate::cli::once::show_once;
use crate::cli::{CliError, Desk};
use crate::events::callback::{CHECK_URL, is_echo, letter, signature_key, token};
use crate::events::dispatch::Post;
use crate::events::signing::SigningSecret;
use crate::events::subscription::{Format, Subscription, SubscriptionId};
use crate::otp::news::{EventName, EventNames};
use crate::otp::store::WriteError;
use crate::secret::{Secret, to_hex};

/// In whose form a receiver is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// OneAccess' event callbacks
    Oneaccess,
}

/// The flags of `webhooks create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// In whose form it is told
    #[arg(long, value_enum)]
    pub format: FormatArg,
    /// Where to: an absolute https address
    #[arg(long, value_name = "URL")]
    pub callback: String,
    /// On whose behalf: the connection whose account's codes it is told of, such as `con_0123456789abcdef`
    #[arg(long, value_name = "CONNECTION")]
    pub connection: ConnectionId,
    /// Of which events, with commas [default: all of one-time passwords]
    #[arg(long, value_delimiter = ',', value_parser = parse_event)]
    pub events: Vec<EventName>,
    /// Do not ask the receiver first: for one that checks the token and the signature of CHECK_URL too, and has to be given them
    #[arg(long)]
    pub unasked: bool,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

fn parse_event(text: &str) -> Result<EventName, String> {
    EventName::parse(text).map_err(|error| error.to_string())
}

/// Asks the receiver, subscribes it, and prints its key and token, once.
///
/// # Errors
/// [`CliError::Data`] for what names nothing, an address that will not do and a receiver that does not answer as it should;
/// [`CliError::StoreFailed`]; [`CliError::Unshown`] where they could not be printed.
pub async fn run(args: CreateArgs, post: &dyn Post, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let CreateArgs { format: FormatArg::Oneaccess, callback, connection, events, unasked, json } = args;
    let connection = desk.connections.connection(connection).await.map_err(|error| desk.failed(error))?;
    let Some(connection) = connection.filter(|connection| connection.revoked.is_none()) else {
        return Err(CliError::Data("--connection names no live connection; see: otpgate key list".to_owned()));
    };
    post.judge(&callback).await.map_err(|fault| CliError::Data(format!("--callback must be {fault}")))?;
    let (id, now) = (SubscriptionId::generate(desk.entropy), desk.now());
    let mut subscription = Subscription {
        id,
        account: connection.account.clone(),
        connection: connection.id,
        events: if events.is_empty() { EventNames::of_otps() } else { events.into_iter().collect() },
        application: None,
        created: now,
        callback: Subscription::callback_of(desk.keyring, &connection.account, connection.id, &callback),
        url: Subscription::seal_url(id, desk.keyring, &callback),
        secrets: Vec::new(),
        gone: None,
        format: Format::OneAccess,
    };
    let secret = subscription.rotate(std::time::Duration::ZERO, desk.keyring, desk.entropy, now);
    if !unasked {
        ask(post, (&subscription, Secret::new(callback), &secret), desk).await?;
    }
    match desk.subscriptions.put_subscription(None, subscription).await {
        Ok(()) => {}
        Err(WriteError::Conflict) => {
            let words = "this connection tells this address already, or its account has 100 subscriptions; \
                         see: otpgate webhooks list";
            return Err(CliError::Data(words.to_owned()));
        }
        Err(error) => return Err(desk.not_written(error)),
    }
    let (key, token) = (signature_key(&secret), token(id, desk.keyring));
    let text = if json {
        let object = serde_json::json!({ "id": id, "signatureKey": key.expose(), "token": token.expose() });
        format!("{object:#}\n")
    } else {
        format!(
            "{} the subscription {id} holds. This is shown this once:\n\n  \
             signature key  {}\n  token          {}\n",
            if unasked { "The receiver was not asked;" } else { "The receiver answered;" },
            key.expose(),
            token.expose()
        )
    };
    let remedy = format!(
        "{id} is made, with a key that nobody saw; delete it (otpgate webhooks delete {id}) and make another one"
    );
    show_once(&text, &remedy, out)
}

/// Sends a `CHECK_URL`, whose data the receiver has to give back.
async fn ask(post: &dyn Post, to: (&Subscription, Secret, &SigningSecret), desk: &Desk<'_>) -> Result<(), CliError> {
    let mut data = [0; 16];
    desk.entropy.fill(&mut data);
    let data = to_hex(&data);
    let what = (to.0.id.to_string(), CHECK_URL, &*data);
    let question = letter(to, what, desk.keyring, desk.entropy, desk.now());
    let why = match post.ask(question).await {
        Ok(answer) if is_echo(&answer, &data) => return Ok(()),
        // Who was not convinced by the signature may well say so with a status of 200.
        Ok(_) => "it did not answer CHECK_URL with {\"code\": \"200\", \"message\": …, \"data\": <the same data>}",
        Err(why) => why,
    };
    let words = format!("the receiver: {why}; one that checks the token or the signature is subscribed with --unasked");
    Err(CliError::Data(words))
}
