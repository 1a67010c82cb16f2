//! Webhook triggers: where the callback's address stands, and what is told of the event. It must not know other triggers.

use std::collections::BTreeSet;

use super::spot::{Found, Spot, definitions_of, operations_of};
use super::{Report, Rule};

const URL: &str = "x-ms-notification-url";
const CONTENT: &str = "x-ms-notification-content";

/// Checks all webhooks.
pub(super) fn check(root: &Spot<'_>, report: &mut Report) {
    let operations = operations_of(root);
    let mut reached = BTreeSet::new();
    let mut misplaced = BTreeSet::new();
    for found in &operations {
        let mut urls = Vec::new();
        for parameter in found.parameters(root) {
            if parameter.holds(URL) {
                misplaced.insert(parameter.pointer.clone());
            }
            if let Some(schema) = parameter.get("schema") {
                gather(root, &schema, Chain { required: true, internal: false }, &mut Vec::new(), &mut urls);
            }
        }
        for (spot, chain) in &urls {
            reached.insert(spot.pointer.clone());
            one(spot, *chain, report);
        }
        webhook(root, found, urls.len(), report);
        notification(root, found, &operations, report);
        for (_, response) in found.spot.at("responses").members() {
            let schema = response.resolved(root).and_then(|response| response.get("schema"));
            if let Some(schema) = schema {
                let mut wrong = Vec::new();
                gather(root, &schema, Chain { required: true, internal: true }, &mut Vec::new(), &mut wrong);
                misplaced.extend(wrong.into_iter().map(|(spot, _)| spot.pointer));
            }
        }
    }
    for (_, schema) in definitions_of(root) {
        let mut all = Vec::new();
        gather(root, &schema, Chain { required: true, internal: true }, &mut Vec::new(), &mut all);
        misplaced.extend(all.into_iter().map(|(spot, _)| spot.pointer).filter(|pointer| !reached.contains(pointer)));
    }
    for pointer in misplaced {
        let at = Spot { value: root.value, pointer };
        report.add(
            Rule::NotificationUrlNotAllowedInThisPosition,
            &at,
            format!("{URL} is allowed in the body of a request only"),
        );
    }
}

/// What holds on the way to a property.
#[derive(Clone, Copy)]
struct Chain {
    required: bool,
    internal: bool,
}

/// The properties below a schema that hold the callback's address.
fn gather<'v>(
    root: &Spot<'v>,
    schema: &Spot<'v>,
    chain: Chain,
    open: &mut Vec<String>,
    found: &mut Vec<(Spot<'v>, Chain)>,
) {
    let Some(schema) = schema.resolved(root) else { return };
    if open.contains(&schema.pointer) {
        return;
    }
    let chain = Chain { internal: chain.internal || schema.text("x-ms-visibility") == Some("internal"), ..chain };
    if schema.holds(URL) {
        found.push((schema.clone(), chain));
    }
    open.push(schema.pointer.clone());
    for (name, property) in schema.at("properties").members() {
        let required = schema.at("required").items().iter().any(|known| known.value == name);
        gather(root, &property, Chain { required: chain.required && required, ..chain }, open, found);
    }
    for part in schema.get("items").into_iter().chain(schema.at("allOf").items()) {
        gather(root, &part, chain, open, found);
    }
    open.pop();
}

fn one(spot: &Spot<'_>, chain: Chain, report: &mut Report) {
    report.when(
        spot.text("type") != Some("string"),
        Rule::NotificationUrlNotString,
        spot,
        "must be of the type string",
    );
    report.when(
        !chain.required,
        Rule::NotificationUrlNotRequired,
        spot,
        "must be required, with everything that it stands in",
    );
    report.when(
        !chain.internal,
        Rule::NotificationUrlNotInternal,
        spot,
        "it, or something that it stands in, must be internal",
    );
}

fn webhook(root: &Spot<'_>, found: &Found<'_>, urls: usize, report: &mut Report) {
    let content = found.item.has(CONTENT) && found.method == "post";
    let what = format!("{} has the address of a callback, but its path has no {CONTENT}", found.name());
    report.when(urls > 0 && !content, Rule::OperationMustHaveNotificationContentExtension, &found.spot, what);
    let what = format!("{} has no property with {URL}", found.name());
    report.when(content && urls == 0, Rule::WebhookOperationsMissingNotificationUrlProperty, &found.spot, what);
    if content && urls > 0 {
        let success = found.spot.at("responses").members().into_iter().filter(|(status, _)| status.starts_with('2'));
        let told = success.filter_map(|(_, response)| response.resolved(root)).any(|response| {
            response.at("headers").members().iter().any(|(name, _)| name.eq_ignore_ascii_case("location"))
        });
        report.when(
            !told,
            Rule::SubscriptionLocationMissing,
            &found.spot.at("responses"),
            "Location is missing: without it nothing can be unsubscribed",
        );
    }
}

/// `x-ms-notification`, by which a polling trigger names the webhook that wakes it.
fn notification(root: &Spot<'_>, found: &Found<'_>, all: &[Found<'_>], report: &mut Report) {
    let Some(link) = found.spot.get("x-ms-notification") else { return };
    report.when(!found.is_trigger(), Rule::NotificationExtensionSupportedForTriggerOnly, &link, "is for triggers only");
    let own = found.item.has(CONTENT) && found.method == "post";
    report.when(
        own,
        Rule::NotificationExtensionNotSupportedInWebhookOperation,
        &link,
        "must not stand in a webhook operation",
    );
    let Some(target) = all.iter().find(|other| other.id().is_some() && other.id() == link.text("operationId")) else {
        report.add(Rule::OperationIdNotFound, &link.at("operationId"), "no operation has this id");
        return;
    };
    report.when(
        !target.item.has(CONTENT),
        Rule::NotificationOperationMustBeWebhook,
        &link.at("operationId"),
        "must be a webhook operation",
    );
    for mine in found.parameters(root) {
        for theirs in target.parameters(root).iter().filter(|theirs| theirs.text("name") == mine.text("name")) {
            let same = ["type", "x-ms-visibility"].iter().all(|name| mine.text(name) == theirs.text(name));
            let what = "the subscription's parameter of this name has another type or visibility";
            report.when(!same, Rule::ParamtersWithSameNameMustHaveSameTypeAndVisibility, &mine, what);
        }
    }
}
