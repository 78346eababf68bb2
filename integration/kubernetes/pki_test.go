package kubernetes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// makePKI writes what a control plane needs: an authority (ca), the API server's certificate (apiserver), that of the
// administrator, who is also each of the components (admin), and the key that service accounts' tokens are signed with (sa).
func makePKI(dir string) error {
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	apiserver := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(nodeAddress)},
	}
	admin := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	var caKey *ecdsa.PrivateKey
	err := os.MkdirAll(dir, 0o700)
	for serial, c := range []*x509.Certificate{ca, apiserver, admin} {
		name := []string{"ca", "apiserver", "admin"}[serial]
		c.SerialNumber = big.NewInt(int64(serial + 1))
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(24*time.Hour)
		c.BasicConstraintsValid = true
		c.KeyUsage |= x509.KeyUsageDigitalSignature
		key, keyErr := writeKey(filepath.Join(dir, name+".key"))
		if err = errors.Join(err, keyErr); err != nil {
			return err
		}
		if caKey == nil {
			caKey = key
		}
		der, certErr := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), caKey)
		if err = errors.Join(certErr, writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", der)); err != nil {
			return err
		}
	}
	_, err = writeKey(filepath.Join(dir, "sa.key"))
	return err
}

func writeKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	return key, errors.Join(err, writePEM(path, "EC PRIVATE KEY", der))
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
