"""As much of the `xmlsec1` command as pysaml2 signs with, over the same library, which PyPI brings."""

import sys

import xmlsec
from lxml import etree


def main(arguments):
    if arguments[0] == "--version":
        print("xmlsec1", ".".join(map(str, xmlsec.get_libxmlsec_version())))
        return
    if arguments[0] == "--list-transforms":
        # Those that these tests sign with.
        print('Registered transform klasses:\n"rsa-sha256","rsa-sha512"')
        return
    # --sign --privkey-pem KEY --id-attr:ID ELEMENT --node-id ID --output FILE --lax-key-search FILE
    assert arguments[0] == "--sign", arguments
    rest = [argument for argument in arguments[1:-1] if argument != "--lax-key-search"]
    options = dict(zip(rest[::2], rest[1::2]))
    root = etree.parse(arguments[-1]).getroot()
    xmlsec.tree.add_ids(root, ["ID"])
    (node,) = root.xpath("//*[@ID=$id]", id=options["--node-id"])
    signature = next(child for child in node if etree.QName(child).localname == "Signature")
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_file(options["--privkey-pem"], xmlsec.KeyFormat.PEM)
    context.sign(signature)
    with open(options["--output"], "wb") as file:
        file.write(etree.tostring(root))


if __name__ == "__main__":
    main(sys.argv[1:])
