//! A small connector without a fault, and for every rule the change that breaks it, with the place where that is found.

use otpgate::openapi::lint::Rule;
use otpgate::openapi::lint::Rule::*;
use serde_json::{Value, json};

/// A connector without a fault: an action, a list for it, and a trigger.
pub(super) fn good() -> Value {
    json!({
        "swagger": "2.0",
        "info": {
            "title": "Ferry", "description": "Books crossings for people and their bicycles.", "version": "1.0",
            "contact": {"name": "Ferry", "url": "https://ferry.example/help", "email": "help@ferry.example"},
        },
        "host": "ferry.example", "basePath": "/", "schemes": ["https"],
        "consumes": ["application/json"], "produces": ["application/json"],
        "paths": {
            "/trips/{id}": {"post": {
                "summary": "Book a trip", "description": "Books a place on a trip.", "operationId": "BookTrip",
                "x-ms-visibility": "important",
                "parameters": [
                    {"name": "id", "in": "path", "type": "string", "required": true, "x-ms-url-encoding": "single",
                     "x-ms-summary": "Trip ID", "description": "The trip."},
                    {"name": "lang", "in": "query", "type": "string", "required": true, "x-ms-summary": "Language", "description": "The language."},
                    {"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/Booking"}},
                ],
                "responses": {"200": {"description": "Booked.", "schema": {"$ref": "#/definitions/Trip"}}, "default": {"description": "Not booked."}},
            }},
            "/piers": {"get": {
                "summary": "List piers", "description": "Lists the piers for a choice.", "operationId": "ListPiers", "x-ms-visibility": "internal",
                "parameters": [{"name": "lang", "in": "query", "type": "string", "x-ms-summary": "Language", "description": "The language."}],
                "responses": {"200": {"description": "Piers.", "schema": {"type": "object", "properties": {
                    "all": {"type": "array", "x-ms-summary": "All", "description": "All piers.", "items": {"$ref": "#/definitions/Pier"}},
                }}}, "default": {"description": "None."}},
            }},
            "/hooks": {
                "x-ms-notification-content": {"schema": {"$ref": "#/definitions/Trip"}},
                "post": {
                    "summary": "When a trip leaves", "description": "This operation triggers when a trip leaves.", "operationId": "WhenTripLeaves",
                    "x-ms-visibility": "important", "x-ms-trigger": "single",
                    "parameters": [{"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/Hook"}}],
                    "responses": {"201": {"description": "Made.", "headers": {"Location": {"type": "string"}}}, "default": {"description": "Not made."}},
                },
            },
        },
        "definitions": {
            "Booking": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "x-ms-summary": "Name", "description": "Who goes."},
                "pier": {"type": "string", "x-ms-summary": "Pier", "description": "Where from.",
                    "x-ms-dynamic-values": {"operationId": "ListPiers", "value-collection": "all", "value-path": "key", "value-title": "name",
                        "parameters": {"lang": {"parameter": "lang"}}},
                    "x-ms-dynamic-list": {"operationId": "ListPiers", "itemsPath": "all", "itemValuePath": "key", "itemTitlePath": "name",
                        "parameters": {"lang": {"parameterReference": "lang"}}}},
            }},
            "Trip": {"type": "object", "properties": {
                "id": {"type": "string", "x-ms-summary": "Trip ID", "description": "The trip."},
                "class": {"type": "string", "x-ms-summary": "Class", "description": "The class.", "enum": ["1", "2"], "default": "2",
                    "x-ms-enum-values": [{"value": "1", "displayName": "First"}, {"value": "2", "displayName": "Second"}]},
            }},
            "Pier": {"type": "object", "properties": {
                "key": {"type": "string", "x-ms-summary": "Key", "description": "Its key."},
                "name": {"type": "string", "x-ms-summary": "Name", "description": "Its name."},
            }},
            "Hook": {"type": "object", "required": ["url"], "properties": {
                "url": {"type": "string", "x-ms-summary": "URL", "description": "The callback.", "x-ms-notification-url": true, "x-ms-visibility": "internal"},
            }},
        },
        "securityDefinitions": {"api_key": {"type": "apiKey", "in": "header", "name": "key"}},
        "security": [{"api_key": []}],
        "tags": [{"name": "trips"}],
        "x-ms-capabilities": {"testConnection": {"operationId": "ListPiers", "parameters": {}}},
        "x-ms-connector-metadata": [
            {"propertyName": "Website", "propertyValue": "https://ferry.example"},
            {"propertyName": "Privacy policy", "propertyValue": "https://ferry.example/privacy"},
            {"propertyName": "Categories", "propertyValue": "Commerce;Lifestyle and Entertainment"},
        ],
    })
}

pub(super) fn good_properties() -> Value {
    json!({"properties": {
        "iconBrandColor": "#0b6e4f", "publisher": "Ferry", "stackOwner": "Ferry", "capabilities": ["actions", "triggers"],
        "connectionParameters": {"api_key": {"type": "securestring", "uiDefinition": {"constraints": {"required": "true"}}}},
        "policyTemplateInstances": [],
    }})
}

/// Puts `value` at a pointer, whose last part may be new; `null` removes what is there, `-` appends.
pub(super) fn put(document: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
    let name = name.replace("~1", "/").replace("~0", "~");
    match parent {
        Value::Array(items) if name == "-" => items.push(value),
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        members if value.is_null() => drop(members.as_object_mut().unwrap().remove(&name)),
        members => drop(members.as_object_mut().unwrap().insert(name, value)),
    }
}

const BOOK: &str = "/paths/~1trips~1{id}/post";
const PIERS: &str = "/paths/~1piers/get";
const HOOKS: &str = "/paths/~1hooks/post";
const TRIP: &str = "/definitions/Trip/properties/id";
const PIER: &str = "/definitions/Booking/properties/pier";

/// Places and their new values.
pub(super) type Changes = Vec<(String, Value)>;

fn at(base: &str, rest: &str) -> String {
    format!("{base}{rest}")
}

/// A plain operation for a path of its own.
fn operation(id: &str) -> Value {
    json!({"get": {
        "summary": "Look", "description": "Looks somewhere.", "operationId": id, "x-ms-visibility": "internal", "parameters": [],
        "responses": {"200": {"description": "Seen."}, "default": {"description": "Not seen."}},
    }})
}

fn plain(name: &str, place: &str) -> Value {
    json!({"name": name, "in": place, "type": "string", "x-ms-summary": "Title", "description": "Words."})
}

fn with(mut value: Value, name: &str, more: Value) -> Value {
    value[name] = more;
    value
}

fn annotated(id: &str, annotation: Value) -> Value {
    with(operation(id), "get", with(operation(id)["get"].clone(), "x-ms-api-annotation", annotation))
}

/// The changes that break each rule, and where that is found.
pub(super) fn cases() -> Vec<(Rule, Changes, String)> {
    let mut cases: Vec<(Rule, Changes, String)> = Vec::new();
    let mut case = |rule: Rule, changes: Vec<(String, Value)>, pointer: String| cases.push((rule, changes, pointer));
    macro_rules! broken {
        ($rule:ident, $base:expr, $rest:expr, $value:tt) => { broken!($rule, $base, $rest, $value => $base, $rest) };
        ($rule:ident, $base:expr, $rest:expr, $value:tt => $at:expr, $found:expr) => {
            case($rule, vec![(at($base, $rest), json!($value))], at($at, $found))
        };
    }
    // The document.
    broken!(SpecificationVersionIncorrect, "", "/swagger", "1.2");
    broken!(RequiredPropertyMissing, "/info", "/version", null => "/info", "");
    broken!(RequiredValueEmpty, "/info", "/title", " ");
    broken!(JsonTypeIncorrect, "", "/host", 7);
    broken!(AdditionalPropertyNotAllowed, "", "/x-ms-surprise", 1);
    broken!(ExtensionNameNotValid, "/info", "/surprise", 1);
    broken!(SwaggerKeywordNotSupported, TRIP, "/nullable", true);
    broken!(HostNameNotValid, "", "/host", "https://ferry.example/");
    broken!(BasePathNotValid, "", "/basePath", "v1");
    broken!(SchemesArrayEmpty, "", "/schemes", []);
    broken!(SchemeNotSupported, "", "/schemes/0", "wss");
    broken!(SchemeNotValid, "", "/schemes/0", "gopher");
    broken!(MimeTypeNotValid, "", "/produces/0", "json");
    broken!(MimeTypeNotSupported, "", "/produces/0", "application/xml");
    broken!(UrlNotValid, "/info/contact", "/url", "ferry.example");
    broken!(ContactEmailNotValid, "/info/contact", "/email", "help");
    broken!(TagRedefined, "/tags", "/-", {"name": "trips"} => "/tags", "/1");
    // Words.
    broken!(FieldLengthExceeded, "/info", "/title", "A ferry across the great wide blue sea");
    broken!(FieldLengthNotInRange, "/info", "/description", "Books crossings.");
    broken!(ValueContainsRestrictedWords, "/info", "/title", "Ferry API");
    broken!(ValueMustBeInEnglish, "/info", "/title", "Fähre");
    broken!(ValueMustEndWithAlphanumeric, "/info", "/title", "Ferry!");
    broken!(DescriptionMissing, BOOK, "/description", null => BOOK, "");
    broken!(DescriptionEqualsSummary, BOOK, "/description", "Book a trip.");
    broken!(DescriptionNotASentence, BOOK, "/description", "Books a place on a trip");
    broken!(OperationSummaryMissing, BOOK, "/summary", null => BOOK, "");
    broken!(RestrictedCharactersInSummary, BOOK, "/summary", "Book a trip-ticket");
    case(OperationSummaryTooLong, vec![(at(BOOK, "/summary"), json!("a".repeat(120)))], at(BOOK, "/summary"));
    broken!(OperationVisibilityMissing, BOOK, "/x-ms-visibility", null => BOOK, "");
    broken!(TriggerSummaryNotWhen, HOOKS, "/summary", "A trip leaves");
    broken!(TitleMissing, TRIP, "/x-ms-summary", null => TRIP, "");
    broken!(ConnectionTestMissing, "", "/x-ms-capabilities", null);
    broken!(ContactMissing, "/info", "/contact", null);
    broken!(ContactMissing, "/info/contact", "/url", null => "/info/contact", "");
    broken!(HostMissing, "", "/host", null);
    broken!(DefaultValueNotInEnum, "/definitions/Trip/properties/class", "/default", "3");
    broken!(OperationIdNotPascalCase, BOOK, "/operationId", "bookTrip");
    broken!(SecurityDefinitionIgnored, "/securityDefinitions", "/second", {"type": "basic"});
    broken!(ValueMustBeInEnglish, "/info", "/description", "Паромы для людей и их велосипедов.");
    broken!(ConnectorMetadataPropertiesMissing, "", "/x-ms-connector-metadata", []);
    broken!(TooManyConnectorCategories, "/x-ms-connector-metadata/2", "/propertyValue", "AI;Data;Finance");
    broken!(InvalidConnectorCategory, "/x-ms-connector-metadata/2", "/propertyValue", "Ferries");
    // Security.
    broken!(SecurityRequirementMissing, "", "/security", []);
    broken!(SecurityRequirementMustBeDefined, "/security/0", "/other", []);
    broken!(SecurityRequirementMustHaveEmptyValue, "/security/0", "/api_key", ["read"]);
    case(
        SecurityRequirementMustHaveValue,
        vec![("/security".to_owned(), json!([{"api_key": null}]))],
        "/security/0/api_key".to_owned(),
    );
    broken!(SecuritySchemePropertyRequired, "/securityDefinitions/api_key", "/name", null => "/securityDefinitions/api_key", "");
    broken!(SecuritySchemePropertyNotValid, "/securityDefinitions/api_key", "/flow", "implicit");
    case(
        OAuthSecurityRequirementValueMustBeScopeName,
        vec![
            (
                "/securityDefinitions/api_key".to_owned(),
                json!({"type": "oauth2", "flow": "implicit", "authorizationUrl": "https://a.example", "scopes": {}}),
            ),
            ("/security/0/api_key".to_owned(), json!(["read"])),
        ],
        "/security/0/api_key/0".to_owned(),
    );
    // Paths.
    let path = |path: &str| at("/paths/", &path.replace('/', "~1"));
    for (rule, name) in [
        (OperationPathMustStartWithSlash, "look"),
        (OperationPathMayNotContainQueryOrFragment, "/look?a"),
        (OperationPathContainsUnsupportedCharacters, "/look/*"),
        (OperationPathTemplateNotValid, "/look/{a"),
        (OperationPathVariablesContainDefaults, "/look/{a=1}"),
    ] {
        case(rule, vec![(path(name), operation("Look"))], path(name));
    }
    case(PathRedefined, vec![(path("/PIERS"), operation("Look"))], path("/piers"));
    broken!(PathItemRefNotSuppored, "/paths/~1piers", "/$ref", "#/paths/~1hooks");
    let variable = |name: &str| {
        let parameter = with(with(plain(name, "path"), "required", json!(true)), "x-ms-url-encoding", json!("single"));
        with(operation("Look"), "get", with(operation("Look")["get"].clone(), "parameters", json!([parameter])))
    };
    case(
        DuplicateOperationPath,
        vec![
            (path("/a/{b}"), variable("b")),
            (
                path("/a/{c}"),
                with(variable("c"), "get", with(variable("c")["get"].clone(), "operationId", json!("Look2"))),
            ),
        ],
        at(&path("/a/{c}"), "/get"),
    );
    case(PartialDuplicateOperationPath, vec![(path("/{b}"), variable("b"))], at(&path("/{b}"), "/get"));
    // Operations.
    broken!(OperationIdRequired, BOOK, "/operationId", null => BOOK, "");
    broken!(OperationIdNotUnique, BOOK, "/operationId", "ListPiers");
    broken!(OperationIdSanitized, BOOK, "/operationId", "book-trip");
    case(OperationIdTooLong, vec![(at(BOOK, "/operationId"), json!("a".repeat(80)))], at(BOOK, "/operationId"));
    broken!(JsonValueNotInEnum, BOOK, "/x-ms-visibility", "none");
    broken!(InvalidNextLinkNameValue, PIERS, "/x-ms-pageable", {"nextLinkName": "next"} => PIERS, "/x-ms-pageable/nextLinkName");
    case(
        PathLevelParametersBreakDesigner,
        vec![
            (at(PIERS, "/parameters"), Value::Null),
            ("/paths/~1piers/parameters".to_owned(), json!([plain("lang", "query")])),
        ],
        PIERS.to_owned(),
    );
    // Answers.
    broken!(OperationMustHaveResponse, PIERS, "/responses", {} => PIERS, "");
    case(
        OperationShouldHaveSuccessfulResponse,
        vec![(at(HOOKS, "/responses"), json!({"400": {"description": "No."}}))],
        at(HOOKS, "/responses"),
    );
    broken!(ResponseMustBeDefaultOrHttpStatusCode, BOOK, "/responses/ok", {"description": "d"});
    broken!(DefaultResponseHasSchema, BOOK, "/responses/default/schema", {"$ref": "#/definitions/Trip"});
    broken!(DefaultResponseMissing, BOOK, "/responses/default", null => BOOK, "/responses");
    broken!(OperationHasManyResponsesWithSchema, BOOK, "/responses/202", {"description": "d", "schema": {"$ref": "#/definitions/Pier"}} => BOOK, "/responses");
    broken!(SchemaDefinitionSetIncorrectly, BOOK, "/responses/200/schema", null => BOOK, "/responses");
    broken!(ResponseExampleMustBeProducedByOperation, BOOK, "/responses/200/examples", {"text/plain": "x"} => BOOK, "/responses/200/examples/text~1plain");
    broken!(ResponseHeadersAreNotUnique, HOOKS, "/responses/201/headers/location", {"type": "string"});
    broken!(ResponseReferenceNotFound, BOOK, "/responses/400", {"$ref": "#/responses/Lost"} => BOOK, "/responses/400/$ref");
    broken!(ResponseReferenceNotValid, BOOK, "/responses/400", {"$ref": "Lost"} => BOOK, "/responses/400/$ref");
    broken!(ResponseRefLoopNotAllowed, "", "/responses", {"A": {"$ref": "#/responses/B"}, "B": {"description": "d"}} => "", "/responses/A/$ref");
    // Parameters.
    let parameters = at(BOOK, "/parameters");
    let id = at(&parameters, "/0");
    let lang = at(&parameters, "/1");
    let body = at(&parameters, "/2");
    let more = at(&parameters, "/3");
    let add = at(&parameters, "/-");
    broken!(PathParameterMustBeRequired, &id, "/required", false => &id, "");
    broken!(PathParameterMissingEncoding, &id, "/x-ms-url-encoding", null => &id, "");
    broken!(QueryParameterEncodingNotSupported, &lang, "/x-ms-url-encoding", "single");
    broken!(OperationMissingPathParameter, &id, "/name", "other" => BOOK, "");
    broken!(PathParameterNotDefinedInTemplate, &id, "/name", "other" => &id, "");
    broken!(NonBodyParameterSchemaNotValid, &lang, "/schema", {"type": "string"});
    broken!(BodyParameterSchemaRequired, &body, "/schema", null => &body, "");
    broken!(BodyParameterPropertyNotValid, &body, "/type", "object");
    broken!(DynamicExtensionDefinitionNotAllowedInParameter, &body, "/x-ms-dynamic-schema", {"operationId": "ListPiers"});
    broken!(CollectionFormatValueNotSupported, &lang, "/collectionFormat", "comma");
    broken!(PropertyMustBeRequired, "/paths/~1piers/get/parameters/0", "", {
        "name": "lang", "in": "query", "type": "string", "x-ms-summary": "Language", "description": "The language.",
        "default": "en", "x-ms-visibility": "internal",
    });
    case(
        AllowEmptyValueOnlyValidForQueryFormData,
        vec![(add.clone(), with(plain("a", "header"), "allowEmptyValue", json!(true)))],
        at(&more, "/allowEmptyValue"),
    );
    for (rule, parameter) in [
        (ConnectionIdParameterNotAllowed, plain("connectionId", "query")),
        (ReservedParameterIsUsed, plain("Authorization", "header")),
        (FileParameterMustBeInFormData, with(plain("a", "query"), "type", json!("file"))),
        (InvalidFormDataParameterName, plain("ä", "formData")),
        (
            OperationParametersAreNotUnique,
            json!({"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/Booking"}}),
        ),
        (OperationParametersContainDuplicateParameter, plain("lang", "query")),
        (
            OperationParametersContainMultipleBodyParameters,
            json!({"name": "b", "in": "body", "schema": {"$ref": "#/definitions/Trip"}}),
        ),
    ] {
        case(rule, vec![(add.clone(), parameter)], more.clone());
    }
    case(ParameterListContainsFormDataAndBody, vec![(add.clone(), plain("a", "formData"))], parameters);
    case(ParameterReferenceNotFound, vec![(add.clone(), json!({"$ref": "#/parameters/Lost"}))], at(&more, "/$ref"));
    case(ParameterReferenceNotValid, vec![(add, json!({"$ref": "#/definitions/Trip"}))], at(&more, "/$ref"));
    broken!(ParameterRefLoopNotAllowed, "", "/parameters", {"A": {"$ref": "#/parameters/B"}} => "", "/parameters/A/$ref");
    let shared = |items: Value| vec![("/paths/~1trips~1{id}/parameters".to_owned(), items)];
    let two = json!([plain("a", "query"), with(plain("a", "query"), "description", json!("Other words."))]);
    case(PathParametersContainDuplicateParameter, shared(two), "/paths/~1trips~1{id}/parameters/1".to_owned());
    let bodies = json!([{"name": "a", "in": "body", "schema": {"$ref": "#/definitions/Trip"}}, {"name": "b", "in": "body", "schema": {"$ref": "#/definitions/Trip"}}]);
    case(PathParametersContainMultipleBodyParameters, shared(bodies), "/paths/~1trips~1{id}/parameters/1".to_owned());
    broken!(BodyOrFormDataParameterInFetchOperationNotAllowed, PIERS, "/parameters/-", {"name": "b", "in": "body", "schema": {"$ref": "#/definitions/Trip"}} => PIERS, "");
    broken!(ConsumesMissing, "", "/consumes", [] => BOOK, "");
    broken!(MimeTypeNotCompatibleWithRequestContentSchemaType, "", "/consumes", ["text/plain"] => BOOK, "");
    case(
        StringBinaryNotSupportedForFormUrlEncoded,
        vec![
            (body.clone(), with(plain("a", "formData"), "format", json!("binary"))),
            (at(BOOK, "/consumes"), json!(["application/x-www-form-urlencoded"])),
        ],
        BOOK.to_owned(),
    );
    // Schemas.
    broken!(SchemaReferenceNotFound, &body, "/schema/$ref", "#/definitions/Lost");
    broken!(SchemaReferenceNotValid, &body, "/schema/$ref", "Booking");
    broken!(JsonPointerNotValid, &body, "/schema/$ref", "#/definitions/a~2");
    broken!(AdditionalPropertyNotAllowedAdjacentToRef, &body, "/schema/description", "d");
    broken!(SchemaRefLoopNotAllowed, "/definitions", "/Alias", {"$ref": "#/definitions/Alias"} => "/definitions", "/Alias/$ref");
    broken!(RequiredLoopInSchemaNotAllowed, "/definitions", "/Loop", {"type": "object", "required": ["me"], "properties": {"me": {"$ref": "#/definitions/Loop"}}});
    broken!(ArrayHasNoItems, TRIP, "/type", "array" => TRIP, "");
    broken!(RequiredPropertyArrayEmpty, "/definitions/Trip", "/required", []);
    broken!(RequiredPropertyDefinitionMissing, "/definitions/Trip", "/required", ["lost"] => "/definitions/Trip", "/required/0");
    broken!(ArrayDuplicateValue, "/definitions/Trip", "/required", ["id", "id"] => "/definitions/Trip", "/required/1");
    broken!(RequiredPropertyNotOnObject, TRIP, "/required", ["id"]);
    broken!(RequiredReadOnlyPropertyNotAllowedAsInput, "/definitions/Booking/properties/name", "/readOnly", true => "/definitions/Booking/properties/name", "");
    broken!(EnumMustContainAtLeastOneElement, TRIP, "/enum", []);
    broken!(InvalidEnumValue, TRIP, "/enum", [1] => TRIP, "/enum/0");
    let class = "/definitions/Trip/properties/class";
    broken!(DefaultValueMustMatchType, class, "/default", 2);
    broken!(InvalidEnumValuesExtensionValue, class, "/x-ms-enum-values/1/value", "3" => class, "/x-ms-enum-values/1");
    broken!(DuplicateEnumValuesInExtension, class, "/x-ms-enum-values/1/value", "1" => class, "/x-ms-enum-values/1");
    broken!(MissingEnumValuesDisplayName, class, "/x-ms-enum-values/1/displayName", null => class, "/x-ms-enum-values/1");
    broken!(UnrecognizedTypeFormat, TRIP, "/format", "telephone");
    broken!(InvalidStringBinaryProperty, TRIP, "/format", "binary" => TRIP, "");
    broken!(SchemaTypeFileNotValid, TRIP, "/type", "file" => TRIP, "");
    case(
        InternalPropertyWithDefaultOptional,
        vec![(at(TRIP, "/x-ms-visibility"), json!("internal")), (at(TRIP, "/default"), json!("x"))],
        TRIP.to_owned(),
    );
    broken!(InvalidCustomEditorExtensionDictionaryValue, TRIP, "/x-ms-editor", "dictionary");
    broken!(DiscriminatorMustBeARequiredStringProperty, "/definitions/Trip", "/discriminator", "id");
    for (rule, name) in [
        (MaxItemsMustBeGreaterThanOrEqualToZero, "maxItems"),
        (MinItemsMustBeGreaterThanOrEqualToZero, "minItems"),
        (MaxLengthMustBeGreaterThanOrEqualToZero, "maxLength"),
        (MinLengthMustBeGreaterThanOrEqualToZero, "minLength"),
        (MaxPropertiesMustBeGreaterThanOrEqualToZero, "maxProperties"),
        (MinPropertiesMustBeGreaterThanOrEqualToZero, "minProperties"),
    ] {
        case(rule, vec![(format!("{TRIP}/{name}"), json!(-1))], format!("{TRIP}/{name}"));
    }
    for (rule, least, most) in [
        (MinimumShouldBeLessThanOrEqualToMaximum, "minimum", "maximum"),
        (MinLengthShouldBeLessThanOrEqualToMaxLength, "minLength", "maxLength"),
        (MinItemsShouldBeLessThanOrEqualToMaxItems, "minItems", "maxItems"),
    ] {
        case(
            rule,
            vec![(format!("{TRIP}/{least}"), json!(2)), (format!("{TRIP}/{most}"), json!(1))],
            format!("{TRIP}/{least}"),
        );
    }
    broken!(ExclusiveMaximumRequiresMaximum, TRIP, "/exclusiveMaximum", true);
    broken!(ExclusiveMinimumRequiresMinimum, TRIP, "/exclusiveMinimum", true);
    broken!(MultipleOfMustBeGreaterThanZero, TRIP, "/multipleOf", 0);
    broken!(PatternShouldBeValidRegularExpression, TRIP, "/pattern", "(");
    // Limits.
    let many = |count: usize, value: Value| {
        Value::Object((0..count).map(|index| (format!("p{index}"), value.clone())).collect())
    };
    let field = json!({"type": "string", "x-ms-summary": "T", "description": "D."});
    case(
        TotalSchemaCountExceedsMaxAllowed,
        vec![("/definitions/Large".to_owned(), json!({"type": "object", "properties": many(513, field.clone())}))],
        "/definitions".to_owned(),
    );
    let wide = json!({"type": "object", "properties": many(23, field.clone())});
    case(
        BodySchemaCountExceedsMaxAllowed,
        vec![
            ("/definitions/Wide".to_owned(), wide),
            ("/definitions/Trip/properties".to_owned(), many(23, json!({"$ref": "#/definitions/Wide"}))),
        ],
        at(BOOK, "/responses/200/schema"),
    );
    let deep = (0..33).fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}));
    case(SchemaTooDeep, vec![(at(BOOK, "/responses/200/schema"), deep)], at(BOOK, "/responses/200/schema"));
    let (thousand, hundred) = (many(200, field), many(100, json!({"$ref": "#/definitions/L"})));
    case(
        OperationSchemaCountExceedsMaxAllowed,
        vec![
            ("/definitions/L".to_owned(), json!({"type": "object", "properties": thousand})),
            ("/definitions/Trip/properties".to_owned(), hundred),
        ],
        BOOK.to_owned(),
    );
    let operations = (0..256).map(|index| (format!("/paths/~1look{index}"), operation(&format!("Look{index}"))));
    case(TotalOperationsCountExceedsMaxAllowed, operations.collect(), "/paths".to_owned());
    // Revisions.
    let note = |annotation: Value| vec![(at(PIERS, "/x-ms-api-annotation"), annotation)];
    let noted = at(PIERS, "/x-ms-api-annotation");
    let replacement = json!({"replacement": {"api": "Ferry", "operationId": "BookTrip"}});
    case(
        ApiAnnotationExtensionReplacementInfoForNonDeprecatedOperations,
        note(replacement),
        at(&noted, "/replacement"),
    );
    case(
        ApiAnnotationExtensionReplacementInfoMissingApiProperty,
        note(json!({"replacement": {"operationId": "a"}})),
        at(&noted, "/replacement"),
    );
    case(
        ApiAnnotationExtensionReplacementInfoMissingOperationIdProperty,
        note(json!({"replacement": {"api": "a"}})),
        at(&noted, "/replacement"),
    );
    case(
        OperationIdShouldEndWithRevision,
        note(json!({"family": "ListPiers", "revision": 2})),
        at(PIERS, "/operationId"),
    );
    case(OperationRevisionEmpty, note(json!({"family": "ListPiers"})), noted.clone());
    let ahead = [
        note(json!({"status": "Production"})),
        vec![("/info/x-ms-api-annotation".to_owned(), json!({"status": "Preview"}))],
    ]
    .concat();
    case(OperationStatusAheadOfConnector, ahead, at(&noted, "/status"));
    let family = |one: Value, other: Value, third: Value| {
        vec![
            ("/paths/~1a".to_owned(), annotated("A", one)),
            ("/paths/~1b".to_owned(), annotated("BV2", other)),
            ("/paths/~1c".to_owned(), annotated("CV3", third)),
        ]
    };
    let revision = |number: u64| json!({"family": "F", "revision": number});
    case(
        OperationFamilyHasDuplicateRevisions,
        family(revision(1), revision(2), revision(2)),
        "/paths/~1c/get/x-ms-api-annotation/revision".to_owned(),
    );
    case(
        OperationFamilyHasManyActiveOperations,
        family(revision(1), revision(2), revision(3)),
        "/paths/~1c/get".to_owned(),
    );
    case(
        OperationFamilyHasManyEmptyRevisions,
        family(json!({"family": "F"}), json!({"family": "F"}), json!({})),
        "/paths/~1b/get/x-ms-api-annotation".to_owned(),
    );
    let live = |number: u64| json!({"family": "F", "revision": number, "status": "Production"});
    case(
        OperationFamilyHasManyActiveProductionOperations,
        family(live(1), live(2), json!({})),
        "/paths/~1b/get".to_owned(),
    );
    // Webhooks.
    let url = "/definitions/Hook/properties/url";
    broken!(NotificationUrlNotString, url, "/type", "integer" => url, "");
    broken!(NotificationUrlNotInternal, url, "/x-ms-visibility", null => url, "");
    broken!(NotificationUrlNotRequired, "/definitions/Hook", "/required", null => url, "");
    broken!(NotificationUrlNotAllowedInThisPosition, TRIP, "/x-ms-notification-url", true => TRIP, "");
    broken!(OperationMustHaveNotificationContentExtension, "/paths/~1hooks", "/x-ms-notification-content", null => HOOKS, "");
    broken!(WebhookOperationsMissingNotificationUrlProperty, url, "/x-ms-notification-url", null => HOOKS, "");
    broken!(SubscriptionLocationMissing, HOOKS, "/responses/201/headers", null => HOOKS, "/responses");
    broken!(NotificationExtensionNotSupportedInWebhookOperation, HOOKS, "/x-ms-notification", {"operationId": "WhenTripLeaves"});
    broken!(NotificationExtensionSupportedForTriggerOnly, PIERS, "/x-ms-notification", {"operationId": "WhenTripLeaves"});
    broken!(NotificationOperationMustBeWebhook, PIERS, "/x-ms-notification", {"operationId": "BookTrip"} => PIERS, "/x-ms-notification/operationId");
    case(
        ParamtersWithSameNameMustHaveSameTypeAndVisibility,
        vec![
            (at(PIERS, "/x-ms-notification"), json!({"operationId": "WhenTripLeaves"})),
            (at(HOOKS, "/parameters/-"), with(plain("lang", "query"), "type", json!("integer"))),
        ],
        at(PIERS, "/parameters/0"),
    );
    // Dynamic values.
    let (loose, strict) = (at(PIER, "/x-ms-dynamic-values"), at(PIER, "/x-ms-dynamic-list"));
    broken!(OperationIdNotFound, &loose, "/operationId", "Lost");
    broken!(OneOfPropertiesRequired, &loose, "/operationId", null => &loose, "");
    broken!(OperationParameterNameNotFound, &loose, "/parameters/lost", "x");
    broken!(OperationParameterStaticTypeMismatch, &loose, "/parameters/lang", 7);
    broken!(InvokedOperationShouldProduceArray, &loose, "/value-collection", "lost" => &loose, "");
    broken!(InvokedOperationShouldProduceProperty, &loose, "/value-path", "lost");
    broken!(OperationMissingRequiredProperty, PIERS, "/parameters/-", {"name": "x", "in": "query", "type": "string", "required": true, "x-ms-summary": "X", "description": "X."} => &strict, "");
    broken!(OperationParameterTypeMismatch, &lang, "/type", "integer" => &strict, "/parameters/lang");
    broken!(SourcePropertyInternal, &lang, "/x-ms-visibility", "internal" => &strict, "/parameters/lang");
    case(
        OperationParameterRequiredMismatch,
        vec![
            (at(PIERS, "/parameters/0/required"), json!(true)),
            (at(&lang, "/required"), json!(false)),
            ("/x-ms-capabilities/testConnection/parameters".to_owned(), json!({"lang": "en"})),
        ],
        at(&strict, "/parameters/lang"),
    );
    let named = at(&loose, "/parameters/lang/parameter");
    case(
        DynamicListExtensionRequiredForNonParameterReferences,
        vec![(named.clone(), json!("name")), (strict.clone(), Value::Null)],
        at(&loose, "/parameters/lang"),
    );
    case(
        DynamicListExtensionRequiredForAmbiguousReferences,
        vec![(at(&lang, "/name"), json!("name")), (named, json!("name")), (strict.clone(), Value::Null)],
        at(&loose, "/parameters/lang"),
    );
    broken!(OperationParameterNameIsAmbiguous, PIERS, "/parameters/-", {"name": "b", "in": "body", "schema": {"type": "object", "properties": {"lang": {"type": "string"}}}} => &strict, "/parameters/lang");
    let shaped = |call: Value| vec![(at(TRIP, "/x-ms-dynamic-schema"), call)];
    let found = at(TRIP, "/x-ms-dynamic-schema");
    case(
        DynamicPropertiesExtensionRequiredForNonParameterReferences,
        shaped(json!({"operationId": "ListPiers", "parameters": {"lang": {"parameter": "name"}}})),
        at(&found, "/parameters/lang"),
    );
    case(
        DynamicPropertiesExtensionRequiredForAmbiguousReferences,
        [
            shaped(json!({"operationId": "ListPiers", "parameters": {"lang": {"parameter": "name"}}})),
            vec![(at(&lang, "/name"), json!("name"))],
        ]
        .concat(),
        at(&found, "/parameters/lang"),
    );
    case(
        DynamicPropertiesExtensionRequiredForPropertiesValuePath,
        shaped(json!({"operationId": "ListPiers", "value-path": "a/properties"})),
        at(&found, "/value-path"),
    );
    case(
        DynamicPropertiesItemValuePathMismatch,
        [
            shaped(json!({"operationId": "ListPiers", "value-path": "a/properties"})),
            vec![(at(TRIP, "/x-ms-dynamic-properties"), json!({"operationId": "ListPiers", "itemValuePath": "b"}))],
        ]
        .concat(),
        at(TRIP, "/x-ms-dynamic-properties/itemValuePath"),
    );
    broken!(DynamicTreeExtensionMissing, "/x-ms-capabilities", "/file-picker", {"open": {"operationId": "ListPiers"}});
    broken!(SelectedItemValuePathNotAllowedInThisPosition, TRIP, "/x-ms-dynamic-tree", {"open": {"operationId": "ListPiers", "parameters": {"lang": {"selectedItemValuePath": "x"}}}} => TRIP, "/x-ms-dynamic-tree/open/parameters/lang");
    broken!(FilterFunctionsPropertyEmpty, TRIP, "/x-ms-capabilities", {"filterFunctions": []} => TRIP, "/x-ms-capabilities/filterFunctions");
    broken!(FilterFunctionsPropertyHasDuplicates, TRIP, "/x-ms-capabilities", {"filterFunctions": ["eq", "eq"]} => TRIP, "/x-ms-capabilities/filterFunctions/1");
    broken!(FilterFunctionsPropertyInvalidValue, TRIP, "/x-ms-capabilities", {"filterFunctions": ["like"]} => TRIP, "/x-ms-capabilities/filterFunctions/0");
    broken!(FilterFunctionsPropertyInInputSchema, "/definitions/Booking/properties/name", "/x-ms-capabilities", {"filterFunctions": ["eq"]} => "/definitions/Booking/properties/name", "/x-ms-capabilities/filterFunctions");
    cases
}
