//go:build !unix

package counterfile

import "errors"

func mapped(string) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmap([]byte) {}
