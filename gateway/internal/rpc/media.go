package rpc

import (
	"context"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/muster-id/muster/gateway/internal/page"
	"github.com/muster-id/muster/gateway/internal/picture"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/proto/gen/go/muster/identity/v1/identityv1connect"
	mediav1 "github.com/muster-id/muster/proto/gen/go/muster/media/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/media/v1/mediav1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/v1/musterv1connect"
)

const (
	// pictureCalls is how many times longer a picture may take than another call:
	// it waits for its turn among others to be decoded.
	pictureCalls = 2
	// completeCalls is the same for the completion of an upload: the storage copies
	// the whole file meanwhile.
	completeCalls = 3
)

// Media serves MediaService.
type Media struct {
	Media    mediav1connect.MediaServiceClient
	Identity identityv1connect.IdentityServiceClient
	Pages    *page.Sealer
	Logger   *slog.Logger
	// Timeout bounds one call of another service.
	Timeout time.Duration
}

var _ musterv1connect.MediaServiceHandler = (*Media)(nil)

// UploadAvatar sets the caller's picture and waits until GetMe shows it.
func (m *Media) UploadAvatar(ctx context.Context, request *connect.Request[musterv1.UploadAvatarRequest]) (*connect.Response[musterv1.UploadAvatarResponse], error) {
	content := request.Msg.GetPicture()
	if len(content) > picture.MaxPicture { // what else it may be, media decides
		return nil, reason.New(musterv1.Reason_REASON_PICTURE_TOO_LARGE, reason.Field("picture"))
	}
	set, err := call(ctx, pictureCalls*m.Timeout, m.Media.SetAvatar, &mediav1.SetAvatarRequest{Picture: content})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.UploadAvatarResponse{
		AvatarUrl: avatarURL(ctx, set.GetAvatarId()),
		Shown:     shown(ctx, m.Identity, m.Logger, set.GetPosition()),
	}), nil
}

// DeleteAvatar removes the caller's picture and waits until GetMe shows none.
func (m *Media) DeleteAvatar(ctx context.Context, _ *connect.Request[musterv1.DeleteAvatarRequest]) (*connect.Response[musterv1.DeleteAvatarResponse], error) {
	removed, err := call(ctx, m.Timeout, m.Media.RemoveAvatar, &mediav1.RemoveAvatarRequest{})
	if err != nil {
		return nil, err
	}
	// Where there was none, there is nothing to wait for.
	position := removed.GetPosition()
	return connect.NewResponse(&musterv1.DeleteAvatarResponse{
		Shown: position == nil || shown(ctx, m.Identity, m.Logger, position),
	}), nil
}

// CreateUpload begins the upload of a file.
func (m *Media) CreateUpload(ctx context.Context, request *connect.Request[musterv1.CreateUploadRequest]) (*connect.Response[musterv1.CreateUploadResponse], error) {
	created, err := call(ctx, m.Timeout, m.Media.CreateUpload, &mediav1.CreateUploadRequest{
		Name:        request.Msg.GetName(),
		ContentType: request.Msg.GetContentType(),
		Size:        request.Msg.GetSize(),
		Public:      request.Msg.GetVisibility() == musterv1.Visibility_VISIBILITY_PUBLIC,
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.CreateUploadResponse{
		FileId:    created.GetFileId(),
		Url:       created.GetUrl(),
		Fields:    created.GetFields(),
		ExpiresAt: created.GetExpiresAt(),
	}), nil
}

// CompleteUpload makes a file of what was uploaded.
func (m *Media) CompleteUpload(ctx context.Context, request *connect.Request[musterv1.CompleteUploadRequest]) (*connect.Response[musterv1.CompleteUploadResponse], error) {
	completed, err := call(ctx, completeCalls*m.Timeout, m.Media.CompleteUpload, &mediav1.CompleteUploadRequest{FileId: request.Msg.GetFileId()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.CompleteUploadResponse{File: fileOf(completed.GetFile())}), nil
}

// GetFile tells of a file that the caller may read.
func (m *Media) GetFile(ctx context.Context, request *connect.Request[musterv1.GetFileRequest]) (*connect.Response[musterv1.GetFileResponse], error) {
	got, err := call(ctx, m.Timeout, m.Media.GetFile, &mediav1.GetFileRequest{FileId: request.Msg.GetFileId()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.GetFileResponse{File: fileOf(got.GetFile())}), nil
}

// GetFileUrl gives an address from which a file can be read for some minutes.
func (m *Media) GetFileUrl(ctx context.Context, request *connect.Request[musterv1.GetFileUrlRequest]) (*connect.Response[musterv1.GetFileUrlResponse], error) {
	got, err := call(ctx, m.Timeout, m.Media.GetFileUrl, &mediav1.GetFileUrlRequest{FileId: request.Msg.GetFileId()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.GetFileUrlResponse{Url: got.GetUrl(), ExpiresAt: got.GetExpiresAt()}), nil
}

// ListFiles tells a page of the caller's files, or of those shared with the caller.
func (m *Media) ListFiles(ctx context.Context, request *connect.Request[musterv1.ListFilesRequest]) (*connect.Response[musterv1.ListFilesResponse], error) {
	filters := &mediav1.ListFilesRequest{Shared: request.Msg.GetScope() == musterv1.FileScope_FILE_SCOPE_SHARED}
	query := queryOf(ctx, request.Spec().Procedure, filters)
	place := &mediav1.FilePlace{}
	further, err := placeOf(m.Pages, query, request.Msg.GetPageToken(), place)
	if err != nil {
		return nil, err
	}
	wanted := proto.CloneOf(filters)
	wanted.PageSize = pageSize(request.Msg.GetPageSize())
	if further {
		wanted.After = place
	}
	listed, err := call(ctx, m.Timeout, m.Media.ListFiles, wanted)
	if err != nil {
		return nil, err
	}
	response := connect.NewResponse(&musterv1.ListFilesResponse{Files: make([]*musterv1.File, 0, len(listed.GetFiles()))})
	for _, file := range listed.GetFiles() {
		response.Msg.Files = append(response.Msg.Files, fileOf(file))
	}
	if next := listed.GetNext(); next != nil {
		response.Msg.NextPageToken, err = m.Pages.Seal(query, next)
	}
	return answered(response, err)
}

// ShareFile lets a person, or everyone, read a file of the caller's.
func (m *Media) ShareFile(ctx context.Context, request *connect.Request[musterv1.ShareFileRequest]) (*connect.Response[musterv1.ShareFileResponse], error) {
	shared, err := call(ctx, m.Timeout, m.Media.ShareFile, &mediav1.ShareFileRequest{
		FileId: request.Msg.GetFileId(),
		UserId: request.Msg.GetUserId(), // empty for everyone, as the rules of the proto leave no third
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.ShareFileResponse{File: fileOf(shared.GetFile())}), nil
}

// UnshareFile takes that back.
func (m *Media) UnshareFile(ctx context.Context, request *connect.Request[musterv1.UnshareFileRequest]) (*connect.Response[musterv1.UnshareFileResponse], error) {
	unshared, err := call(ctx, m.Timeout, m.Media.UnshareFile, &mediav1.UnshareFileRequest{
		FileId: request.Msg.GetFileId(),
		UserId: request.Msg.GetUserId(),
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.UnshareFileResponse{File: fileOf(unshared.GetFile())}), nil
}

// DeleteFile deletes a file for good.
func (m *Media) DeleteFile(ctx context.Context, request *connect.Request[musterv1.DeleteFileRequest]) (*connect.Response[musterv1.DeleteFileResponse], error) {
	if _, err := call(ctx, m.Timeout, m.Media.DeleteFile, &mediav1.DeleteFileRequest{FileId: request.Msg.GetFileId()}); err != nil {
		return nil, err
	}
	return connect.NewResponse(&musterv1.DeleteFileResponse{}), nil
}

// Avatar gives the JPEG of an avatar, to anyone.
func (m *Media) Avatar(ctx context.Context, id string) ([]byte, error) {
	got, err := call(ctx, m.Timeout, m.Media.GetAvatar, &mediav1.GetAvatarRequest{AvatarId: id})
	return got.GetPicture(), err
}

// PublicFileURL gives an address of a public file, to anyone.
func (m *Media) PublicFileURL(ctx context.Context, id string) (string, error) {
	got, err := call(ctx, m.Timeout, m.Media.GetPublicFileUrl, &mediav1.GetPublicFileUrlRequest{FileId: id})
	return got.GetUrl(), err
}

func fileOf(file *mediav1.File) *musterv1.File {
	visibility := musterv1.Visibility_VISIBILITY_PRIVATE
	if file.GetPublic() {
		visibility = musterv1.Visibility_VISIBILITY_PUBLIC
	}
	return &musterv1.File{
		Id:          file.GetFileId(),
		OwnerId:     file.GetOwnerId(),
		Name:        file.GetName(),
		ContentType: file.GetContentType(),
		Size:        file.GetSize(),
		Visibility:  visibility,
		SharedWith:  file.GetSharedWith(),
		UploadedAt:  file.GetUploadedAt(),
	}
}
