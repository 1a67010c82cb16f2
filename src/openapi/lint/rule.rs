//! The names of the rules. Microsoft's are spelt as it spells them. It must not know how one is checked.

use std::fmt;

use serde::{Serialize, Serializer};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It stops an import, a call or a review.
    Error,
    /// A reviewer asks to change it.
    Warning,
}

/// Whose rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Microsoft's validator.
    Validator,
    /// Its coding standards and string guidance, and what its designer does; the names are ours.
    Guidance,
}

macro_rules! rules {
    ($($source:ident $severity:ident { $($name:ident),* $(,)? })*) => {
        /// A rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are Microsoft's, which explains them")]
        pub enum Rule { $($($name,)*)* }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)*)*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)*)* }
            }

            /// How much it matters.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $($(Self::$name => Severity::$severity,)*)* }
            }

            /// Whose it is.
            #[must_use]
            pub const fn source(self) -> Source {
                match self { $($(Self::$name => Source::$source,)*)* }
            }
        }
    };
}

rules! {
    Validator Error {
        AdditionalPropertyNotAllowed, AdditionalPropertyNotAllowedAdjacentToRef, AllowEmptyValueOnlyValidForQueryFormData,
        ApiAnnotationExtensionReplacementInfoForNonDeprecatedOperations, ApiAnnotationExtensionReplacementInfoMissingApiProperty,
        ApiAnnotationExtensionReplacementInfoMissingOperationIdProperty, ArrayDuplicateValue, ArrayHasNoItems, BasePathNotValid,
        BodyOrFormDataParameterInFetchOperationNotAllowed, BodyParameterPropertyNotValid, BodyParameterSchemaRequired,
        BodySchemaCountExceedsMaxAllowed, CollectionFormatValueNotSupported, ConnectionIdParameterNotAllowed, ConsumesMissing,
        ContactEmailNotValid, DefaultValueMustMatchType, DiscriminatorMustBeARequiredStringProperty, DuplicateEnumValuesInExtension,
        DuplicateOperationPath, DynamicExtensionDefinitionNotAllowedInParameter, DynamicListExtensionRequiredForAmbiguousReferences,
        DynamicListExtensionRequiredForNonParameterReferences, DynamicPropertiesExtensionRequiredForAmbiguousReferences,
        DynamicPropertiesExtensionRequiredForNonParameterReferences, DynamicPropertiesExtensionRequiredForPropertiesValuePath,
        DynamicPropertiesItemValuePathMismatch, DynamicTreeExtensionMissing, EnumMustContainAtLeastOneElement,
        ExclusiveMaximumRequiresMaximum, ExclusiveMinimumRequiresMinimum, ExtensionNameNotValid, FieldLengthExceeded,
        FieldLengthNotInRange, FileParameterMustBeInFormData, FilterFunctionsPropertyEmpty, FilterFunctionsPropertyHasDuplicates,
        FilterFunctionsPropertyInInputSchema, FilterFunctionsPropertyInvalidValue, HostNameNotValid, InvalidConnectorCategory,
        InvalidCustomEditorExtensionDictionaryValue, InvalidEnumValue, InvalidEnumValuesExtensionValue, InvalidFormDataParameterName,
        InvalidNextLinkNameValue, InvalidStringBinaryProperty, InvokedOperationShouldProduceArray, InvokedOperationShouldProduceProperty,
        JsonPointerNotValid, JsonTypeIncorrect, JsonValueNotInEnum, MaxItemsMustBeGreaterThanOrEqualToZero,
        MaxLengthMustBeGreaterThanOrEqualToZero, MaxPropertiesMustBeGreaterThanOrEqualToZero,
        MimeTypeNotCompatibleWithRequestContentSchemaType, MimeTypeNotValid, MinItemsMustBeGreaterThanOrEqualToZero,
        MinItemsShouldBeLessThanOrEqualToMaxItems, MinLengthMustBeGreaterThanOrEqualToZero, MinLengthShouldBeLessThanOrEqualToMaxLength,
        MinPropertiesMustBeGreaterThanOrEqualToZero, MinimumShouldBeLessThanOrEqualToMaximum, MissingEnumValuesDisplayName,
        MultipleOfMustBeGreaterThanZero, NonBodyParameterSchemaNotValid, NotificationExtensionNotSupportedInWebhookOperation,
        NotificationExtensionSupportedForTriggerOnly, NotificationOperationMustBeWebhook, NotificationUrlNotAllowedInThisPosition,
        NotificationUrlNotInternal, NotificationUrlNotRequired, NotificationUrlNotString, OAuthSecurityRequirementValueMustBeScopeName,
        OneOfPropertiesRequired, OperationFamilyHasDuplicateRevisions, OperationFamilyHasManyActiveOperations,
        OperationFamilyHasManyActiveProductionOperations, OperationFamilyHasManyEmptyRevisions, OperationIdNotFound,
        OperationIdNotUnique, OperationIdRequired, OperationIdTooLong, OperationMissingPathParameter, OperationMissingRequiredProperty,
        OperationMustHaveNotificationContentExtension, OperationMustHaveResponse, OperationParameterNameIsAmbiguous,
        OperationParameterNameNotFound, OperationParameterRequiredMismatch, OperationParameterStaticTypeMismatch,
        OperationParameterTypeMismatch, OperationParametersAreNotUnique, OperationParametersContainDuplicateParameter,
        OperationParametersContainMultipleBodyParameters, OperationPathContainsUnsupportedCharacters,
        OperationPathMayNotContainQueryOrFragment, OperationPathMustStartWithSlash, OperationPathTemplateNotValid,
        OperationPathVariablesContainDefaults, OperationSchemaCountExceedsMaxAllowed, OperationShouldHaveSuccessfulResponse,
        OperationStatusAheadOfConnector, ParameterListContainsFormDataAndBody, ParameterRefLoopNotAllowed, ParameterReferenceNotFound,
        ParameterReferenceNotValid, ParamtersWithSameNameMustHaveSameTypeAndVisibility, PathItemRefNotSuppored,
        PathParameterMustBeRequired, PathParameterNotDefinedInTemplate, PathParametersContainDuplicateParameter,
        PathParametersContainMultipleBodyParameters, PathRedefined, PatternShouldBeValidRegularExpression, PropertyMustBeRequired,
        QueryParameterEncodingNotSupported, RequiredLoopInSchemaNotAllowed, RequiredPropertyArrayEmpty,
        RequiredPropertyDefinitionMissing, RequiredPropertyMissing, RequiredPropertyNotOnObject,
        RequiredReadOnlyPropertyNotAllowedAsInput, RequiredValueEmpty, ReservedParameterIsUsed, ResponseExampleMustBeProducedByOperation,
        ResponseHeadersAreNotUnique, ResponseMustBeDefaultOrHttpStatusCode, ResponseRefLoopNotAllowed, ResponseReferenceNotFound,
        ResponseReferenceNotValid, SchemaRefLoopNotAllowed, SchemaReferenceNotFound, SchemaReferenceNotValid, SchemaTooDeep,
        SchemaTypeFileNotValid, SchemeNotSupported, SchemeNotValid, SchemesArrayEmpty, SecurityRequirementMustBeDefined,
        SecurityRequirementMustHaveEmptyValue, SecurityRequirementMustHaveValue, SecuritySchemePropertyNotValid,
        SecuritySchemePropertyRequired, SelectedItemValuePathNotAllowedInThisPosition, SpecificationVersionIncorrect,
        StringBinaryNotSupportedForFormUrlEncoded, SwaggerKeywordNotSupported, TagRedefined, TooManyConnectorCategories,
        TotalOperationsCountExceedsMaxAllowed, TotalSchemaCountExceedsMaxAllowed, UrlNotValid, ValueContainsRestrictedWords,
        ValueMustBeInEnglish, ValueMustEndWithAlphanumeric, WebhookOperationsMissingNotificationUrlProperty,
    }
    Validator Warning {
        ConnectorMetadataPropertiesMissing, DefaultResponseHasSchema, InternalPropertyWithDefaultOptional, MimeTypeNotSupported,
        OperationHasManyResponsesWithSchema, OperationIdSanitized, OperationIdShouldEndWithRevision, OperationRevisionEmpty,
        OperationSummaryTooLong, PartialDuplicateOperationPath, PathParameterMissingEncoding, RestrictedCharactersInSummary,
        SchemaDefinitionSetIncorrectly, SourcePropertyInternal, UnrecognizedTypeFormat,
    }
    Guidance Error {
        PathLevelParametersBreakDesigner,
    }
    Guidance Warning {
        BrandColorNotAllowed, ConnectionParameterNotSecure, ConnectionTestMissing, ContactMissing, DefaultResponseMissing,
        DefaultValueNotInEnum, DescriptionEqualsSummary, DescriptionMissing, DescriptionNotASentence, HostMissing,
        OperationIdNotPascalCase, OperationSummaryMissing, OperationVisibilityMissing, SecurityDefinitionIgnored,
        SecurityRequirementMissing, SubscriptionLocationMissing, TitleMissing, TriggerSummaryNotWhen,
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
