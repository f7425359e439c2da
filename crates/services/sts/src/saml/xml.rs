//! A document as a tree: the one parser that both canonical XML and the reading of it use.

use uppsala::{Document, NodeId, NodeKind, Parser};

pub const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
pub const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
pub const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
pub const ENCRYPTION: &str = "http://www.w3.org/2001/04/xmlenc#";

/// Elements inside each other.
const DEEPEST: u32 = 64;

/// A parsed document.
pub struct Tree<'x>(pub Document<'x>);

impl<'x> Tree<'x> {
    /// Parses a text. One with a document type is refused, so that no entity can expand.
    pub fn parse(text: &'x str) -> Option<Self> {
        let parser = Parser::new().with_max_depth(DEEPEST).with_forbid_dtd(true);
        parser.parse(text).ok().map(Self)
    }

    /// The document's element.
    pub fn root(&self) -> Option<NodeId> {
        self.0.document_element()
    }

    /// The element that holds this one.
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        self.0.parent(node)
    }

    /// Whether an element has this name.
    pub fn is(&self, node: NodeId, namespace: &str, name: &str) -> bool {
        self.0.element(node).is_some_and(|element| element.matches_name_ns(namespace, name))
    }

    /// Every element of a name in the document.
    pub fn all(&self, namespace: &str, name: &str) -> Vec<NodeId> {
        self.0.get_elements_by_tag_name_ns(namespace, name)
    }

    /// The elements of a name directly in another.
    pub fn children(&self, node: NodeId, namespace: &str, name: &str) -> Vec<NodeId> {
        self.0.child_elements_by_name_ns(node, namespace, name)
    }

    /// The element of a name directly in another; `None` where there is none, or several.
    pub fn child(&self, node: NodeId, namespace: &str, name: &str) -> Option<NodeId> {
        match self.children(node, namespace, name)[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// All elements directly in another.
    pub fn elements(&self, node: NodeId) -> Vec<NodeId> {
        let children = self.0.children(node).into_iter();
        children.filter(|child| self.0.element(*child).is_some()).collect()
    }

    /// An attribute without a namespace.
    pub fn attribute(&self, node: NodeId, name: &str) -> Option<&str> {
        let attributes = &self.0.element(node)?.attributes;
        let plain = |a: &&uppsala::Attribute<'_>| {
            a.name.namespace_uri.is_none() && *a.name.local_name == *name
        };
        attributes.iter().find(plain).map(|a| &*a.value)
    }

    /// The text of an element that holds nothing but text and comments.
    pub fn text(&self, node: NodeId) -> Option<String> {
        let plain = |child: &NodeId| {
            matches!(
                self.0.node_kind(*child),
                Some(NodeKind::Text(_) | NodeKind::CData(_) | NodeKind::Comment(_))
            )
        };
        let children = self.0.children(node);
        children.iter().all(plain).then(|| self.0.text_content_deep(node))
    }

    /// How many elements have this value as an id, under any name that ids go by.
    pub fn with_id(&self, id: &str) -> usize {
        let elements = self.0.descendants(self.0.root()).into_iter();
        let named = |node: NodeId| {
            self.0.element(node).is_some_and(|element| {
                element.attributes.iter().any(|attribute| {
                    attribute.name.local_name.eq_ignore_ascii_case("id") && *attribute.value == *id
                })
            })
        };
        elements.filter(|node| named(*node)).count()
    }
}
