package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// sectorSize is virtio block's unit; an image is a whole number of them.
const sectorSize = 512

// openDisk opens, checks and locks the image that "FILE[,ro]" names.
func openDisk(files *ipc.Files, spec string) (vmapi.Disk, error) {
	path, readOnly := strings.CutSuffix(spec, ",ro")
	image, err := openImage(path, readOnly)
	if err != nil {
		return vmapi.Disk{}, fmt.Errorf("cannot use disk %s: %w", path, err)
	}
	disk := vmapi.Disk{Image: files.Attach(image), ReadOnly: readOnly}
	if err := lockImage(image, readOnly); err != nil {
		return disk, fmt.Errorf("cannot use disk %s: %w", path, err)
	}
	return disk, nil
}

func openImage(path string, readOnly bool) (*os.File, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() < sectorSize || info.Size()%sectorSize != 0:
		return nil, fmt.Errorf("its size is %d bytes, not a whole number of %d-byte sectors", info.Size(), sectorSize)
	case !readOnly && info.Mode().Perm()&0o222 == 0: // root could write to it, against its owner's wish
		return nil, errors.New("the file is read-only; add ,ro")
	}
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	return os.OpenFile(path, flags, 0)
}

// lockImage keeps two VMs from one image: many may read, or one may write. The
// lock belongs to the open file that the VM process gets, and lives as long.
func lockImage(f *os.File, readOnly bool) error {
	image, err := file.New(f)
	if err != nil {
		return err
	}
	return image.Lock(!readOnly)
}
