//! The decision in its fast form.
//!
//! The rules are those of [`evaluate::decide`](crate::evaluate::decide), which says where each comes
//! from; here each document is looked at through its rows, by index, and nothing is allocated.

use crate::compile::{Action, Failed};
use crate::document::{Document, Effect, Matching, Statement};
use crate::evaluate::{
    Decision, Layer, Named, PolicySet, Principal, Request, ResourcePolicy, exempt, names,
};
use crate::organization;

/// Decides.
pub fn decide(request: &Request<'_>, policies: &PolicySet<'_>) -> Decision {
    Asked::new(request, policies).decide(policies)
}

/// The statement that an explicit denial comes from: the first, in the order in which layers are
/// told. `None` where nothing denies explicitly.
pub fn denial(request: &Request<'_>, policies: &PolicySet<'_>) -> Option<Denial> {
    Asked::new(request, policies).explicit_deny(policies)
}

/// A statement that denies, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// The layer of its policy.
    pub layer: Layer,
    /// Of organization policies: the level from the root down, from 0.
    pub level: usize,
    /// The policy's place in its layer or level, from 0.
    pub policy: usize,
    /// The statement's place in its policy, from 0.
    pub statement: usize,
}

impl<'a> PolicySet<'a> {
    /// The statement of a denial by these policies.
    pub fn statement(&self, denial: &Denial) -> Option<&'a Statement> {
        let level = |levels: &[Vec<&'a Document>]| {
            levels.get(denial.level).and_then(|level| level.get(denial.policy).copied())
        };
        let document = match denial.layer {
            Layer::Identity => self.identity.get(denial.policy).copied(),
            Layer::Session => self.session.as_ref()?.get(denial.policy).copied(),
            Layer::Boundary => self.boundary,
            Layer::Resource | Layer::Trust => self.resource.map(ResourcePolicy::document),
            Layer::Endpoint => self.endpoint,
            Layer::ServiceControl => level(&self.service_control),
            Layer::ResourceControl => level(&self.resource_control),
        };
        document?.statements.get(denial.statement)
    }
}

/// A request with what is looked up once.
pub(crate) struct Asked<'a> {
    pub request: &'a Request<'a>,
    action: Action<'a>,
    account: Option<crate::AccountId>,
    bounded: bool,
    /// Whether there are service control policies that bind who asks.
    by_service_control: bool,
    /// Whether there are resource control policies that bind what is asked.
    by_resource_control: bool,
}

impl<'a> Asked<'a> {
    pub fn new(request: &'a Request<'a>, policies: &PolicySet<'_>) -> Self {
        let PolicySet { service_control, resource_control, management_account, .. } = policies;
        let account = request.principal.account();
        let by_service_control = !service_control.is_empty()
            && organization::binds_principal(account, *management_account);
        let by_resource_control = !resource_control.is_empty()
            && organization::binds_resource(request, *management_account);
        let exempt = (by_service_control || by_resource_control)
            && organization::is_service_linked(request.principal);
        Self {
            request,
            action: Action::new(request.action),
            account,
            bounded: policies.boundary.is_some(),
            by_service_control: by_service_control && !exempt,
            by_resource_control: by_resource_control && !exempt,
        }
    }

    pub fn decide(&self, policies: &PolicySet<'_>) -> Decision {
        if let Some(denial) = self.explicit_deny(policies) {
            return Decision::ExplicitDeny(denial.layer);
        }
        if !self.resource_control(policies).iter().all(|level| self.allowed(level)) {
            return Decision::ImplicitDeny(Layer::ResourceControl);
        }
        if !self.service_control(policies).iter().all(|level| self.allowed(level)) {
            return Decision::ImplicitDeny(Layer::ServiceControl);
        }
        if policies.endpoint.is_some_and(|document| !self.allowed(&[document])) {
            return Decision::ImplicitDeny(Layer::Endpoint);
        }
        let same_account = self.account == Some(self.request.resource_account);
        let granted = policies.resource.and_then(|policy| self.granted(policy.document()));
        let granted =
            granted.max(policies.grants.reach(self.request)).max(policies.acls.reach(self.request));
        match (policies.resource, granted) {
            (Some(ResourcePolicy::Trust(_)), None) => return Decision::ImplicitDeny(Layer::Trust),
            (Some(ResourcePolicy::Key(_)), None) => return Decision::ImplicitDeny(Layer::Resource),
            (_, Some(_)) if self.account.is_none() => return Decision::Allow,
            (_, None) if self.account.is_none() => return Decision::ImplicitDeny(Layer::Resource),
            (_, None) if !same_account => return Decision::ImplicitDeny(Layer::Resource),
            (_, Some(Named::Itself)) if same_account => return Decision::Allow,
            _ => {}
        }
        let by_resource = same_account && granted == Some(Named::Role);
        let root = matches!(self.request.principal, Principal::Root(_));
        if !by_resource && !root && !self.allowed(&policies.identity) {
            return Decision::ImplicitDeny(Layer::Identity);
        }
        if policies.boundary.is_some_and(|document| !self.allowed(&[document])) {
            return Decision::ImplicitDeny(Layer::Boundary);
        }
        if policies.session.as_ref().is_some_and(|documents| !self.allowed(documents)) {
            return Decision::ImplicitDeny(Layer::Session);
        }
        Decision::Allow
    }

    /// The service control policies that bind who asks.
    pub fn service_control<'p>(&self, policies: &'p PolicySet<'_>) -> &'p [Vec<&'p Document>] {
        if self.by_service_control { &policies.service_control } else { &[] }
    }

    /// The resource control policies that bind what is asked.
    pub fn resource_control<'p>(&self, policies: &'p PolicySet<'_>) -> &'p [Vec<&'p Document>] {
        if self.by_resource_control { &policies.resource_control } else { &[] }
    }

    fn explicit_deny(&self, policies: &PolicySet<'_>) -> Option<Denial> {
        let of_levels = |layer, levels: &[Vec<&Document>]| {
            let mut levels = levels.iter().enumerate();
            levels.find_map(|(level, documents)| self.denied(layer, level, documents))
        };
        let one = |layer, document: Option<&Document>| self.denied(layer, 0, &[document?]);
        of_levels(Layer::ServiceControl, self.service_control(policies))
            .or_else(|| of_levels(Layer::ResourceControl, self.resource_control(policies)))
            .or_else(|| self.denied(Layer::Identity, 0, &policies.identity))
            .or_else(|| policies.resource.and_then(|own| one(own.layer(), Some(own.document()))))
            .or_else(|| one(Layer::Boundary, policies.boundary))
            .or_else(|| self.denied(Layer::Session, 0, policies.session.as_deref()?))
            .or_else(|| one(Layer::Endpoint, policies.endpoint))
    }

    fn denied(&self, layer: Layer, level: usize, documents: &[&Document]) -> Option<Denial> {
        documents.iter().enumerate().find_map(|(policy, document)| {
            let row = document.compiled().row(document, &self.action);
            let mut denying = row.deny.iter().map(|index| *index as usize);
            let statement = denying.find(|index| {
                let statement = document.statements.get(*index);
                statement.is_some_and(|statement| self.denies_whom(statement).is_some())
                    && self.holds(document, *index)
            })?;
            Some(Denial { layer, level, policy, statement })
        })
    }

    /// How a denial names who asks. One with `NotPrincipal` denies whoever has a permissions boundary,
    /// even whom it names.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html>
    pub fn denies_whom(&self, statement: &Statement) -> Option<Named> {
        let bounded = self.bounded && matches!(statement.principal, Some(Matching::AllBut(_)));
        if bounded { Some(Named::Role) } else { self.named(statement) }
    }

    fn allowed(&self, documents: &[&Document]) -> bool {
        documents.iter().any(|document| {
            let row = document.compiled().row(document, &self.action);
            row.allow.iter().any(|index| {
                let statement = document.statements.get(*index as usize);
                statement.is_some_and(|s| self.named(s).is_some())
                    && self.holds(document, *index as usize)
            })
        })
    }

    /// How far a resource's policy grants the request: the farthest of its allowing statements.
    fn granted(&self, document: &Document) -> Option<Named> {
        let row = document.compiled().row(document, &self.action);
        let mut farthest = None;
        for index in &row.allow {
            let named = document.statements.get(*index as usize).and_then(|s| self.named(s));
            if named > farthest && self.holds(document, *index as usize) {
                farthest = named;
            }
        }
        farthest
    }

    fn holds(&self, document: &Document, index: usize) -> bool {
        self.test(document, index).is_ok()
    }

    /// Whether a statement speaks of the resource, and its conditions hold; or what fails first.
    pub fn test(&self, document: &Document, index: usize) -> Result<(), Failed> {
        let Request { resource, context, .. } = self.request;
        document.compiled().test(index, document.version, resource, context)
    }

    /// How a statement's principal names who asks. Of identity policies it names nobody.
    pub fn named(&self, statement: &Statement) -> Option<Named> {
        let Request { principal, context, .. } = self.request;
        match &statement.principal {
            None => Some(Named::Account),
            Some(Matching::These(patterns)) => {
                patterns.iter().filter_map(|pattern| names(pattern, principal, context)).max()
            }
            Some(Matching::AllBut(patterns)) => {
                let effect: Effect = statement.effect;
                (!exempt(patterns, self.request, effect)).then_some(Named::Role)
            }
        }
    }
}
