"""The lab: the networks of tutorials on autoencoders as one catalogue, trained, written to files, compared.

It needs the extra `lab`. One file holds a family of networks; `catalogue` names them all.
"""
