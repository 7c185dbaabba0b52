"""Certificates for tests, made by OpenSSL: authorities, what the one called ``ca`` signs, and what has run out."""

import shutil
import subprocess

from tests.conftest import skip_for_want_of

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
AUTHORITY = """[ca]
default_ca=d
[d]
database=index.txt
serial=serial
new_certs_dir=.
certificate=ca.pem
private_key=ca.key
default_md=sha256
policy=p
[p]
commonName=supplied
"""


class CertificateMaker:
    """A folder of ``NAME.pem`` and ``NAME.key``."""

    def __init__(self, folder):
        self.folder = folder
        self._openssl = shutil.which("openssl")
        if self._openssl is None:
            skip_for_want_of("openssl", "openssl is not installed, so no certificates can be made")

    def authority(self, name):
        """Make one that signs itself."""
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        self._run("req", "-x509", *NEW_KEY, *files, "-days", "2", "-subj", f"/CN={name}")

    def signed(self, name, extension):
        """Make one that ``ca`` signs."""
        (self.folder / f"{name}.ext").write_text(f"{extension}\n")
        self._request(name, name)
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{name}.ext")
        self._run("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem", "-days", "2")

    def expired(self, name, subject):
        """Make one that ``ca`` signed and that was valid for a day in 2020."""
        self._request(name, subject)
        (self.folder / "index.txt").touch()
        (self.folder / "serial").write_text("99\n")
        (self.folder / "ca.cnf").write_text(AUTHORITY)
        dates = ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
        files = ("-in", f"{name}.csr", "-out", f"{name}.pem")
        self._run("ca", "-batch", "-config", "ca.cnf", *files, *dates, "-notext")

    def _request(self, name, subject):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._run("req", *NEW_KEY, *files, "-subj", f"/CN={subject}")

    def _run(self, *arguments):
        subprocess.run([self._openssl, *arguments], cwd=self.folder, check=True, capture_output=True)
