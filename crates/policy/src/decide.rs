//! The decision in its fast form.
//!
//! The rules are those of [`evaluate::decide`](crate::evaluate::decide), which says where each comes
//! from; here each document is looked at through its rows, by index, and nothing is allocated.

use crate::compile::{Action, Failed};
use crate::document::{Document, Effect, Matching, Statement};
use crate::evaluate::{
    Decision, Layer, Named, PolicySet, Principal, Request, ResourcePolicy, exempt, names,
};

/// Decides.
pub fn decide(request: &Request<'_>, policies: &PolicySet<'_>) -> Decision {
    Asked::new(request, policies).decide(policies)
}

/// A request with what is looked up once.
pub(crate) struct Asked<'a> {
    pub request: &'a Request<'a>,
    action: Action<'a>,
    account: Option<crate::AccountId>,
    bounded: bool,
}

impl<'a> Asked<'a> {
    pub fn new(request: &'a Request<'a>, policies: &PolicySet<'_>) -> Self {
        Self {
            request,
            action: Action::new(request.action),
            account: request.principal.account(),
            bounded: policies.boundary.is_some(),
        }
    }

    pub fn decide(&self, policies: &PolicySet<'_>) -> Decision {
        if let Some(layer) = self.explicit_deny(policies) {
            return Decision::ExplicitDeny(layer);
        }
        if !policies.resource_control.iter().all(|level| self.allowed(level)) {
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

    pub fn service_control<'p>(&self, policies: &'p PolicySet<'_>) -> &'p [Vec<&'p Document>] {
        if self.account.is_some() { &policies.service_control } else { &[] }
    }

    fn explicit_deny(&self, policies: &PolicySet<'_>) -> Option<Layer> {
        let one =
            |document: Option<&Document>| document.is_some_and(|document| self.denied(&[document]));
        if self.service_control(policies).iter().any(|level| self.denied(level)) {
            Some(Layer::ServiceControl)
        } else if policies.resource_control.iter().any(|level| self.denied(level)) {
            Some(Layer::ResourceControl)
        } else if self.denied(&policies.identity) {
            Some(Layer::Identity)
        } else if let Some(policy) = policies.resource
            && one(Some(policy.document()))
        {
            Some(policy.layer())
        } else if one(policies.boundary) {
            Some(Layer::Boundary)
        } else if policies.session.as_ref().is_some_and(|documents| self.denied(documents)) {
            Some(Layer::Session)
        } else if one(policies.endpoint) {
            Some(Layer::Endpoint)
        } else {
            None
        }
    }

    fn denied(&self, documents: &[&Document]) -> bool {
        documents.iter().any(|document| {
            let row = document.compiled().row(document, &self.action);
            row.deny.iter().any(|index| {
                let statement = document.statements.get(*index as usize);
                statement.is_some_and(|statement| self.denies_whom(statement).is_some())
                    && self.holds(document, *index)
            })
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
                statement.is_some_and(|s| self.named(s).is_some()) && self.holds(document, *index)
            })
        })
    }

    /// How far a resource's policy grants the request: the farthest of its allowing statements.
    fn granted(&self, document: &Document) -> Option<Named> {
        let row = document.compiled().row(document, &self.action);
        let mut farthest = None;
        for index in &row.allow {
            let named = document.statements.get(*index as usize).and_then(|s| self.named(s));
            if named > farthest && self.holds(document, *index) {
                farthest = named;
            }
        }
        farthest
    }

    fn holds(&self, document: &Document, index: u32) -> bool {
        self.test(document, index as usize).is_ok()
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
