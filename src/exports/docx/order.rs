//! Properties in the order of the standard. docx-rs writes them in an order of its own, which not every reader forgives.

/// Elements whose children have an order, and that order. What is not named stays where it was, behind what is.
const ORDERS: [(&str, &[&str]); 6] = [
    (
        "w:pPr",
        &[
            "pStyle",
            "keepNext",
            "keepLines",
            "pageBreakBefore",
            "framePr",
            "widowControl",
            "numPr",
            "suppressLineNumbers",
            "pBdr",
            "shd",
            "tabs",
            "suppressAutoHyphens",
            "kinsoku",
            "wordWrap",
            "overflowPunct",
            "topLinePunct",
            "autoSpaceDE",
            "autoSpaceDN",
            "bidi",
            "adjustRightInd",
            "snapToGrid",
            "spacing",
            "ind",
            "contextualSpacing",
            "mirrorIndents",
            "suppressOverlap",
            "jc",
            "textDirection",
            "textAlignment",
            "textboxTightWrap",
            "outlineLvl",
            "divId",
            "cnfStyle",
            "rPr",
            "sectPr",
            "pPrChange",
        ],
    ),
    (
        "w:rPr",
        &[
            "rStyle",
            "rFonts",
            "b",
            "bCs",
            "i",
            "iCs",
            "caps",
            "smallCaps",
            "strike",
            "dstrike",
            "outline",
            "shadow",
            "emboss",
            "imprint",
            "noProof",
            "snapToGrid",
            "vanish",
            "webHidden",
            "color",
            "spacing",
            "w",
            "kern",
            "position",
            "sz",
            "szCs",
            "highlight",
            "u",
            "effect",
            "bdr",
            "shd",
            "fitText",
            "vertAlign",
            "rtl",
            "cs",
            "em",
            "lang",
        ],
    ),
    (
        "w:tblPr",
        &[
            "tblStyle",
            "tblpPr",
            "tblOverlap",
            "bidiVisual",
            "tblStyleRowBandSize",
            "tblStyleColBandSize",
            "tblW",
            "jc",
            "tblCellSpacing",
            "tblInd",
            "tblBorders",
            "shd",
            "tblLayout",
            "tblCellMar",
            "tblLook",
        ],
    ),
    (
        "w:tcPr",
        &[
            "cnfStyle",
            "tcW",
            "gridSpan",
            "hMerge",
            "vMerge",
            "tcBorders",
            "shd",
            "noWrap",
            "tcMar",
            "textDirection",
            "tcFitText",
            "vAlign",
            "hideMark",
        ],
    ),
    (
        "w:style",
        &[
            "name",
            "aliases",
            "basedOn",
            "next",
            "link",
            "autoRedefine",
            "hidden",
            "uiPriority",
            "semiHidden",
            "unhideWhenUsed",
            "qFormat",
            "locked",
            "pPr",
            "rPr",
            "tblPr",
            "trPr",
            "tcPr",
            "tblStylePr",
        ],
    ),
    (
        "w:lvl",
        &[
            "start",
            "numFmt",
            "lvlRestart",
            "pStyle",
            "isLgl",
            "suff",
            "lvlText",
            "lvlPicBulletId",
            "legacy",
            "lvlJc",
            "pPr",
            "rPr",
        ],
    ),
];

/// The same XML with every property in its place.
pub(super) fn in_order(xml: &str) -> String {
    let mut ordered = String::with_capacity(xml.len());
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        let (before, element) = rest.split_at(start);
        ordered.push_str(before);
        let end = end_of_tag(element);
        let order = ORDERS.iter().find(|(name, _)| *name == name_of(element)).map(|(_, order)| *order);
        match order.filter(|_| !element[..end].ends_with("/>")) {
            Some(order) => {
                let whole = length(element);
                let close = element[..whole].rfind("</").unwrap_or(whole);
                ordered.push_str(&element[..end]);
                ordered.push_str(&sorted(&element[end..close], order));
                ordered.push_str(&element[close..whole]);
                rest = &element[whole..];
            }
            None => {
                ordered.push_str(&element[..end]);
                rest = &element[end..];
            }
        }
    }
    ordered + rest
}

fn sorted(children: &str, order: &[&str]) -> String {
    let mut elements = Vec::new();
    let mut rest = children;
    while let Some(start) = rest.find('<') {
        let element = &rest[start..];
        let whole = length(element);
        let name = name_of(element);
        let local = name.split(':').next_back().unwrap_or(name);
        let rank = order.iter().position(|known| *known == local).unwrap_or(order.len());
        elements.push((rank, in_order(&element[..whole])));
        rest = &element[whole..];
    }
    elements.sort_by_key(|(rank, _)| *rank);
    elements.into_iter().map(|(_, element)| element).collect()
}

/// The name of the element that a text begins with.
fn name_of(element: &str) -> &str {
    let name = element.strip_prefix('<').unwrap_or(element);
    name.split([' ', '/', '>']).next().unwrap_or_default()
}

fn end_of_tag(element: &str) -> usize {
    element.find('>').map_or(element.len(), |end| end + 1)
}

/// How long the element is that a text begins with.
fn length(element: &str) -> usize {
    let mut at = end_of_tag(element);
    if element[..at].ends_with("/>") {
        return at;
    }
    let mut depth = 1;
    while depth > 0 {
        let Some(next) = element[at..].find('<') else { return element.len() };
        let tag = &element[at + next..];
        let end = end_of_tag(tag);
        if tag.starts_with("</") {
            depth -= 1;
        } else if !tag[..end].ends_with("/>") {
            depth += 1;
        }
        at += next + end;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_put_in_order_and_nothing_else_is_touched() {
        let xml = "<w:p><w:pPr><w:rPr><w:sz w:val=\"2\" /><w:b /></w:rPr><w:pStyle w:val=\"a\" /></w:pPr>\
                   <w:r><w:rPr /><w:t>2 &lt; 3 &gt; 1</w:t></w:r></w:p>";
        let ordered = "<w:p><w:pPr><w:pStyle w:val=\"a\" /><w:rPr><w:b /><w:sz w:val=\"2\" /></w:rPr></w:pPr>\
                       <w:r><w:rPr /><w:t>2 &lt; 3 &gt; 1</w:t></w:r></w:p>";
        assert_eq!(in_order(xml), ordered);
        assert_eq!(in_order(ordered), ordered);
    }

    #[test]
    fn what_is_not_xml_is_left_alone() {
        for text in ["", "plain", "<w:pPr>", "<w:pPr", "<"] {
            assert_eq!(in_order(text), text);
        }
    }
}
