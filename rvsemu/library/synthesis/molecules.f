      SUBROUTINE RVNEAR(ID,AVAB,ILIST,NNEAR,NEAR)
C
C     Lines of molecules that may reach into the current block of
C     frequencies: numbers NEAR(1) to NEAR(NNEAR) in the set of the list
C     ILIST, in order. MOLOP computes the reach of each line in each
C     layer, to find that 97 of 100 end before the block. Here the
C     longest reach of each line in any layer is computed once.
C
C     All lines are near in the first block, from which the opacities
C     AVAB come that lines are compared with, and where AVAB is less
C     than ALITTL of what it is there. The reach of a line, in
C     frequency, falls with the wavelength, with which the first block
C     begins; ASPARE is what rounding may add.
C
      INCLUDE 'PARAMS.FOR'
      INCLUDE 'MODELP.FOR'
      INCLUDE 'SYNTHP.FOR'
      INCLUDE 'LINDAT.FOR'
      PARAMETER (ALITTL=0.3, ASPARE=1.1, SPARE=3.5, EXT0=3.17)
      DIMENSION NEAR(MLINM)
      DIMENSION AVLEAS(MDEPTH,MMLIST),FLIST(MMLIST),FFIRST(MMLIST),
     *          FBLOCK(MMLIST)
      INTEGER NKNOWN(MMLIST),NKEPT(MMLIST)
      INTEGER, ALLOCATABLE :: KEPT(:,:)
      REAL*4, ALLOCATABLE :: REACH(:,:)
      SAVE AVLEAS,FLIST,FFIRST,FBLOCK,NKNOWN,NKEPT,KEPT,REACH
      DATA FLIST/MMLIST*0./,FBLOCK/MMLIST*0./
C
C     the first block of these lines
C
      IF(.NOT.ALLOCATED(REACH))
     *   ALLOCATE(REACH(MLINM0,NMLIST),KEPT(MLINM,NMLIST))
      IF(FREQM(1,ILIST).NE.FLIST(ILIST)) THEN
         FLIST(ILIST)=FREQM(1,ILIST)
         FFIRST(ILIST)=FREQ(1)
         AVLEAS(:,ILIST)=0.
         NKNOWN(ILIST)=0
      END IF
      NALL=NLINML(ILIST)
      IF(FREQ(1).EQ.FFIRST(ILIST)) THEN
         AVLEAS(ID,ILIST)=ALITTL*AVAB
         NNEAR=NALL
         DO I=1,NALL
            NEAR(I)=I
         END DO
         RETURN
      END IF
C
C     reach of all lines of the list
C
      IF(NKNOWN(ILIST).EQ.0) THEN
         NKNOWN(ILIST)=NLINM0(ILIST)
         REACH(1:NLINM0(ILIST),ILIST)=0.
         DO JD=1,ND
            IF(AVLEAS(JD,ILIST).GT.0.) THEN
               DO IL=1,NLINM0(ILIST)
                  IMOL=INDATM(IL,ILIST)
                  DOP1=DOPMOL(IMOL,JD)
                  AGAM=(GRM(IL,ILIST)+GSM(IL,ILIST)*ELEC(JD)+
     *                  GVDW(IL,ILIST,JD))*DOP1
                  AB0=EXP(GFM(IL,ILIST)-EXCLM(IL,ILIST)/TEMP(JD))*
     *                RRMOL(IMOL,JD)*DOP1*STIM(JD)
                  EXT=MAX(EXT0,SQRT(AB0*AGAM/AVLEAS(JD,ILIST)))/DOP1
                  REACH(IL,ILIST)=MAX(DBLE(REACH(IL,ILIST)),ASPARE*EXT)
               END DO
            END IF
         END DO
      END IF
C
C     those that are near this block
C
      IF(FREQ(1).NE.FBLOCK(ILIST)) THEN
         FBLOCK(ILIST)=FREQ(1)
         N=0
         DO I=1,NALL
            FAR=DFRCON*REACH(INMLIN(I,ILIST),ILIST)+SPARE
            IF(IJCMTR(I,ILIST)-FAR.LT.NFREQ.AND.
     *         IJCMTR(I,ILIST)+FAR.GT.2) THEN
               N=N+1
               KEPT(N,ILIST)=I
            END IF
         END DO
         NKEPT(ILIST)=N
      END IF
      IF(AVLEAS(ID,ILIST).GT.0..AND.AVAB.GE.AVLEAS(ID,ILIST)) THEN
         NNEAR=NKEPT(ILIST)
         NEAR(1:NNEAR)=KEPT(1:NNEAR,ILIST)
      ELSE
         NNEAR=NALL
         DO I=1,NALL
            NEAR(I)=I
         END DO
      END IF
      END
      SUBROUTINE RVLINE(A,B,FR0,DOP1,IJ1,IJ2,ABLIN)
C
C     Adds one line, B times the Voigt function with the damping A, to
C     the opacities ABLIN(IJ1) to ABLIN(IJ2): what VOIGTK gives, which
C     calls and branches for each frequency made slow.
C
      INCLUDE 'PARAMS.FOR'
      INCLUDE 'MODELP.FOR'
      INCLUDE 'SYNTHP.FOR'
      PARAMETER (MVOI=2001)
      PARAMETER (VFAR=10., TWOH=200., C15=1.5, C02=0.2, C05642=0.5642)
      COMMON/VOITAB/H0TAB(MVOI),H1TAB(MVOI),H2TAB(MVOI)
      DIMENSION ABLIN(MFREQ)
      IF(A.LT.C02) THEN
         DO IJ=IJ1,IJ2
            V=ABS(FREQ(IJ)-FR0)*DOP1
            IF(V.LE.VFAR) THEN
               IV=INT(V*TWOH+C15)
               VOIGT=(H2TAB(IV)*A+H1TAB(IV))*A+H0TAB(IV)
             ELSE
               VOIGT=C05642*A/(V*V)
            END IF
            ABLIN(IJ)=ABLIN(IJ)+B*VOIGT
         END DO
       ELSE
         DO IJ=IJ1,IJ2
            ABLIN(IJ)=ABLIN(IJ)+B*VOIGTK(A,ABS(FREQ(IJ)-FR0)*DOP1)
         END DO
      END IF
      END
