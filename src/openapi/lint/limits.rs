//! How much a definition may hold (connector FAQ): operations, schemas with references expanded, and depth. It must not know
//! what a schema says.

use std::collections::{BTreeMap, BTreeSet};

use super::spot::{Spot, definitions_of, operations_of};
use super::{Report, Rule};

const OPERATIONS: usize = 256;
/// Of a body or an answer; and of all definitions as they are written.
const SCHEMAS: u64 = 512;
const SCHEMAS_OF_AN_OPERATION: u64 = 16_384;
/// Microsoft names no figure; beyond this a designer shows nothing of it.
const DEPTH: usize = 32;

/// Checks all limits.
pub(super) fn check(root: &Spot<'_>, report: &mut Report) {
    let operations = operations_of(root);
    report.when(
        operations.len() > OPERATIONS,
        Rule::TotalOperationsCountExceedsMaxAllowed,
        &root.at("paths"),
        format!("holds {} operations; at most {OPERATIONS} are allowed", operations.len()),
    );
    let mut counter = Counter { root: root.clone(), known: BTreeMap::new(), open: BTreeSet::new() };
    let total: u64 = definitions_of(root).iter().map(|(_, schema)| written(schema)).sum();
    report.when(
        total > SCHEMAS,
        Rule::TotalSchemaCountExceedsMaxAllowed,
        &root.at("definitions"),
        format!("hold {total} schemas; at most {SCHEMAS} are allowed"),
    );
    for found in &operations {
        let mut all = 0_u64;
        let bodies = found.parameters(root).into_iter().filter_map(|parameter| parameter.get("schema"));
        let answers = found
            .spot
            .at("responses")
            .members()
            .into_iter()
            .filter_map(|(_, answer)| answer.resolved(root)?.get("schema"));
        for schema in bodies.chain(answers) {
            let (count, depth) = counter.count(&schema);
            all = all.saturating_add(count);
            report.when(
                count > SCHEMAS,
                Rule::BodySchemaCountExceedsMaxAllowed,
                &schema,
                format!("holds {count} schemas with its references; at most {SCHEMAS} are allowed"),
            );
            report.when(
                depth > DEPTH,
                Rule::SchemaTooDeep,
                &schema,
                format!("is {depth} deep; at most {DEPTH} are allowed"),
            );
        }
        report.when(
            all > SCHEMAS_OF_AN_OPERATION,
            Rule::OperationSchemaCountExceedsMaxAllowed,
            &found.spot,
            format!("holds {all} schemas; at most {SCHEMAS_OF_AN_OPERATION} are allowed"),
        );
    }
}

/// Schemas below a schema, each counted once.
fn parts<'v>(schema: &Spot<'v>) -> Vec<Spot<'v>> {
    let mut parts: Vec<_> = schema.at("properties").members().into_iter().map(|(_, part)| part).collect();
    parts.extend(schema.get("items"));
    parts.extend(schema.get("additionalProperties").filter(|rest| rest.value.is_object()));
    parts.extend(schema.at("allOf").items());
    parts
}

/// As they are written, without what references lead to.
fn written(schema: &Spot<'_>) -> u64 {
    parts(schema).iter().map(written).sum::<u64>() + 1
}

struct Counter<'v> {
    root: Spot<'v>,
    known: BTreeMap<String, (u64, usize)>,
    open: BTreeSet<String>,
}

impl<'v> Counter<'v> {
    /// Number and depth with references expanded; a loop counts once.
    fn count(&mut self, schema: &Spot<'v>) -> (u64, usize) {
        let Some(target) = schema.resolved(&self.root) else { return (1, 1) };
        if let Some(known) = self.known.get(&target.pointer) {
            return *known;
        }
        if !self.open.insert(target.pointer.clone()) {
            return (1, 1);
        }
        let (mut count, mut depth) = (1_u64, 0);
        for part in parts(&target) {
            let (more, deeper) = self.count(&part);
            count = count.saturating_add(more);
            depth = depth.max(deeper);
        }
        self.open.remove(&target.pointer);
        self.known.insert(target.pointer, (count, depth + 1));
        (count, depth + 1)
    }
}
